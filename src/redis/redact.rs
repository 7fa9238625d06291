//! Removes from a server's message the arguments of the request that it repeats, and the place in a
//! script, and makes the rest [printable].
//!
//! "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'": the
//! arguments of a command may be a password, or the fields of a record. Neither an error nor its
//! sources may show them. Called for every error that comes from a server.
//!
//! The wording depends on the server and its version (quotes or backticks, commas or none). So the
//! rule is about the form: of several quoted words, only the first is kept. It is the name of a
//! command, a subcommand, or an option.
//!
//! A server may use any other wording. So if a password was sent, a message that repeats a part of
//! the password is left out, whatever its form.

use redis::{RedisConnectionInfo, RedisError, Value, parse_redis_value};

use super::server_text::printable;

/// How servers introduce the arguments, in lower case.
const ARGUMENTS: [&str; 2] = ["with arg", "beginning with"];

/// The characters that separate the arguments from the text before them.
const SEPARATORS: [char; 6] = [' ', ',', ':', ';', '(', '['];

/// The same error without the arguments that it repeats, and as the command within a script gave
/// it. Of several errors, returns the first.
pub(crate) fn without_arguments(error: RedisError) -> RedisError {
    if let Some(detail) = error.detail() {
        let (code, said) = without_script(detail);
        let kept = printable(kept(said));
        let code = code.or(error.code()).map(printable);
        if kept == detail && code.as_deref() == error.code() {
            return error;
        }
        let kind = error.kind();
        return code
            .and_then(|code| server_error(&code, &kept))
            .unwrap_or_else(|| (kind, "the server refused", kept.into_owned()).into());
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

/// A message that contains this many consecutive bytes of a password counts as repeating it. The
/// whole password is not needed, because a server may cut or escape it.
const REPEATED: usize = 8;

/// What servers reply to a login. A short password may be a part of these messages, such as
/// `password`.
const USUAL: [&str; 4] = [
    "invalid username-password pair or user is disabled.",
    "AUTH <password> called without any password configured for the default user. Are you sure your \
     configuration is correct?",
    "Authentication required.",
    "max number of clients reached",
];

/// Replaces the message of a server.
const LEFT_OUT: &str = "its message is left out, because it repeats a part of the password";

/// The error of a connection that was opened with this login. Removes the arguments and the parts
/// of the password that the error repeats.
pub(crate) fn without_login(error: RedisError, login: &RedisConnectionInfo) -> RedisError {
    let error = without_arguments(error);
    let repeats = |text: &str| {
        let password = login.password().unwrap_or_default().to_ascii_lowercase();
        let text = text.to_ascii_lowercase();
        // An empty password has no part that could be repeated.
        let mut parts = password
            .as_bytes()
            .windows(password.len().clamp(1, REPEATED));
        parts.any(|part| text.as_bytes().windows(part.len()).any(|at| at == part))
    };
    let is_usual = error.detail().is_some_and(|said| USUAL.contains(&said));
    // An I/O error contains no words of the server.
    if error.is_io_error() || is_usual || !repeats(&format!("{error} {error:?}")) {
        return error;
    }
    let code = error.code().filter(|code| !repeats(code));
    code.and_then(|code| server_error(code, LEFT_OUT))
        .unwrap_or_else(|| (error.kind(), LEFT_OUT).into())
}

/// The message of a command that failed within a script, and its code if the message quotes it. The
/// hash and the line of the script mean nothing to a user. Other messages stay as they are.
fn without_script(detail: &str) -> (Option<&str>, &str) {
    // Redis 7 and Valkey: "MESSAGE script: HASH, on @user_script:LINE."
    if let Some((said, place)) = detail.rsplit_once(" script: ")
        && place.contains("on @user_script:")
    {
        return (None, said);
    }
    // Redis 6: "Error running script (call to f_HASH): @user_script:LINE: …: -CODE MESSAGE"
    let quoted = detail.strip_prefix("Error running script (call to f_");
    match quoted.and_then(|quoted| quoted.split_once(": -")?.1.split_once(' ')) {
        Some((code, said)) => (Some(code), said),
        None => (None, detail),
    }
}

/// Builds the error that a server's reply with this code and detail would give.
fn server_error(code: &str, detail: &str) -> Option<RedisError> {
    let line = format!("-{code} {detail}\r\n");
    match parse_redis_value(line.as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error.into()),
        _ => None,
    }
}

/// The part of the text before any argument.
fn kept(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let named = ARGUMENTS.iter().filter_map(|words| lower.find(words)).min();
    let end = named.into_iter().chain(second_quote(text)).min();
    end.map_or(text, |end| text[..end].trim_end_matches(SEPARATORS))
}

/// The position of the second quoted word. If the first one has no end, the position of the first.
fn second_quote(text: &str) -> Option<usize> {
    let mut quoted = 0;
    // The open quote, and its position.
    let mut open: Option<(char, usize)> = None;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let is_quote = ['\'', '`', '"'].contains(&character);
        match open {
            Some((quote, _)) if character == quote => open = None,
            // After a letter, the character is an apostrophe.
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
    fn an_error_about_an_unknown_command_keeps_only_its_name() {
        for said in [
            // Redis 7 and later, Valkey.
            "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret' ",
            // Redis 5 and 6.
            "unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `secret`, ",
            // Other servers, or later versions.
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
    fn the_error_of_a_command_within_a_script_is_that_of_the_command() {
        let hash = "7d8f1c1bb1b4bb3a5e5f0c3c8ad1f4e0f7f1c0de";
        let replica = "You can't write against a read only replica.";
        let full = "command not allowed when used memory > 'maxmemory'.";
        let denied = "No permissions to access a key";
        for (code, said) in [("READONLY", replica), ("OOM", full), ("NOPERM", denied)] {
            let plain = server_error(code, said).unwrap();
            // Redis 7 and Valkey.
            let placed = format!("{said} script: {hash}, on @user_script:12.");
            assert_eq!(
                without_arguments(server_error(code, &placed).unwrap()),
                plain
            );
            // Redis 6.
            let quoted = format!(
                "Error running script (call to f_{hash}): @user_script:12: @user_script: 12: -{code} {said}"
            );
            assert_eq!(
                without_arguments(server_error("ERR", &quoted).unwrap()),
                plain
            );
        }
        for other in [
            "Error running script (call to f_7d8f): @user_script:1: attempt to index a nil value",
            "the script: is unknown",
        ] {
            assert_eq!(without_script(other), (None, other));
        }
    }

    #[test]
    fn a_message_of_many_lines_is_escaped_and_a_long_one_cut() {
        let lines = parse_redis_value(b"!18\r\nERR one\r\nERR two\x1b[\r\n");
        let Ok(Value::ServerError(error)) = lines else {
            panic!("no error: {lines:?}");
        };
        let error = without_arguments(error.into());
        assert_eq!(error.detail(), Some("one\\r\\nERR two\\u{1b}["));
        let long = server_error("ERR", &"x".repeat(1 << 20)).unwrap();
        let long = without_arguments(long);
        assert!(long.to_string().len() < 1_000 && long.detail().unwrap().ends_with('…'));
    }

    #[test]
    fn a_quote_without_an_end_is_cut_off() {
        assert_eq!(kept("unknown command 'HELLO"), "unknown command");
        assert_eq!(kept("'secret"), "");
    }

    #[test]
    fn of_a_message_that_repeats_the_password_only_the_code_is_left() {
        let login = |password: &str| RedisConnectionInfo::default().set_password(password);
        let said = |detail: &str| server_error("WRONGPASS", detail).unwrap();
        let secret = "correct horse \"battery\" staple";
        for detail in [
            secret,
            "not correct horse \\\"battery\\\"",
            "what is CORRECT HORSE?",
            "invalid password: correct h",
        ] {
            let error = without_login(said(detail), &login(secret));
            assert_eq!(error, said(LEFT_OUT), "{detail}");
        }
        for (detail, password) in [("is pw", "pw"), ("is pässe", "pässe")] {
            let error = without_login(said(detail), &login(password));
            assert_eq!(error, said(LEFT_OUT), "{detail}");
        }
        let usual = "invalid username-password pair or user is disabled.";
        for password in ["", "secret", secret, "wrong", "password", "user", "a", "pa"] {
            let error = without_login(said(usual), &login(password));
            assert_eq!(error, said(usual), "{password}");
        }
        let in_code = server_error("HELLO-SECRET", "no").unwrap();
        let error = without_login(in_code, &login("secret"));
        assert_eq!((error.kind(), error.code()), (ErrorKind::Extension, None));
        assert!(
            !format!("{error} {error:?}").contains("SECRET"),
            "{error:?}"
        );
        let cut = RedisError::from(std::io::Error::other("the secret wire"));
        assert!(without_login(cut, &login("secret")).is_io_error());
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
