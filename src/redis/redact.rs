//! What a server says of a request, without the arguments of the request that it repeats.
//!
//! "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'": the
//! arguments of a command may be a password, or the fields of a record. An error must not show
//! them, and neither must its sources.
//!
//! The wording differs by server and version (quotes or backticks, commas or none). So the rule is
//! about its shape: of what is quoted, only the first is kept. That is the name of the command, of
//! a subcommand, or of an option.

use redis::{RedisError, Value, parse_redis_value};

/// How servers begin to tell arguments, in lower case.
const ARGUMENTS: [&str; 2] = ["with arg", "beginning with"];

/// What separates the arguments from what is said before them.
const SEPARATORS: [char; 6] = [' ', ',', ':', ';', '(', '['];

/// The same error without the arguments that it repeats. Of several errors it is the first.
pub(crate) fn without_arguments(error: RedisError) -> RedisError {
    if let Some(detail) = error.detail() {
        let kept = kept(detail);
        if kept.len() == detail.len() {
            return error;
        }
        let kind = error.kind();
        return error
            .code()
            .and_then(|code| server_error(code, kept))
            .unwrap_or_else(|| (kind, "the server refused", kept.to_owned()).into());
    }
    let kind = error.kind();
    let Some(all) = error.clone().into_server_errors() else {
        return error;
    };
    match all.first() {
        Some((_, first)) if first.details().is_some() => without_arguments(first.clone().into()),
        _ => (kind, "the server refused").into(),
    }
}

/// An error as a server says it.
fn server_error(code: &str, detail: &str) -> Option<RedisError> {
    let line = format!("-{code} {detail}\r\n");
    match parse_redis_value(line.as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error.into()),
        _ => None,
    }
}

/// The part of the text that comes before any argument.
fn kept(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let named = ARGUMENTS.iter().filter_map(|words| lower.find(words)).min();
    let end = named.into_iter().chain(second_quote(text)).min();
    end.map_or(text, |end| text[..end].trim_end_matches(SEPARATORS))
}

/// Where the second quoted word begins; or the first, if that has no end.
fn second_quote(text: &str) -> Option<usize> {
    let mut quoted = 0;
    // The quote that is open, and where it was opened.
    let mut open: Option<(char, usize)> = None;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let is_quote = ['\'', '`', '"'].contains(&character);
        match open {
            Some((quote, _)) if character == quote => open = None,
            // What follows a letter is an apostrophe.
            None if is_quote && !before.is_alphanumeric() => {
                if quoted > 0 {
                    return Some(at);
                }
                quoted += 1;
                open = Some((character, at));
            }
            _ => {}
        }
        before = character;
    }
    open.map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn of_what_servers_say_of_an_unknown_command_its_name_is_left() {
        for said in [
            // Redis 7 and later, Valkey.
            "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret' ",
            // Redis 5 and 6.
            "unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret`, ",
            // Others, or later ones.
            "Unknown command 'HELLO' '3' 'AUTH' 'secret'",
            "unknown command \"HELLO\" (\"3\", \"secret\")",
            "unknown command HELLO, with args beginning with: 3 AUTH secret",
            "unknown command HELLO with arguments: 3 AUTH secret",
            "unknown command HELLO [beginning with: 3 AUTH secret]",
            "unknown command 'HELLO', With Args Beginning With: '3",
        ] {
            let kept = kept(said);
            let without_quotes = kept.replace(['\'', '`', '"'], "").to_lowercase();
            assert_eq!(without_quotes, "unknown command hello", "{said}");
        }
    }

    #[test]
    fn what_repeats_no_argument_is_left_as_it_is() {
        for said in [
            "unknown command 'HELLO'",
            "unknown subcommand 'LOAD'. Try SCRIPT HELP.",
            "wrong number of arguments for 'auth' command",
            "User default has no permissions to run the 'eval' command",
            "You can't write against a read only replica.",
            "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Please don't ask.",
            "5 127.0.0.1:7000",
            "",
        ] {
            assert_eq!(kept(said), said);
        }
    }

    #[test]
    fn a_quote_without_an_end_is_cut_off() {
        assert_eq!(kept("unknown command 'HELLO"), "unknown command");
        assert_eq!(kept("'secret"), "");
    }

    #[test]
    fn an_error_keeps_its_code_and_its_kind() {
        for (code, detail) in [
            ("ERR", "unknown command 'X'"),
            ("DENIED", "the command 'X'"),
        ] {
            let said = format!("{detail}, with args beginning with: 'secret'");
            let error = without_arguments(server_error(code, &said).unwrap());
            assert_eq!(error, server_error(code, detail).unwrap());
            assert_eq!(error.code(), Some(code));
        }
        let general = (ErrorKind::Client, "why", "not 'X' 'secret'".to_owned());
        let error = without_arguments(general.into());
        assert_eq!(error.kind(), ErrorKind::Client);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
