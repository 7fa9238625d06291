//! Removes from a server's message the arguments of the request that it repeats, and the place in a
//! script, and makes the rest [printable].
//!
//! "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'": the
//! arguments of a command may be a password, or the fields of a record. Neither an error nor its
//! sources may show them. Called for every error that comes from a server.
//!
//! The wording depends on the server and its version (quotes or backticks, commas or none). So the
//! rule is about the form: of several quoted words, only the first is kept. It is the name of a
//! command, a subcommand, or an option. After "unknown command", only the name is kept, whether it
//! is quoted or not. A code ends before the first character that no code has.
//!
//! A server may use any other wording. So if a password was sent, a message that repeats a part of
//! the password is left out, whatever its form.

use redis::{RedisConnectionInfo, RedisError, Value, parse_redis_value};

use super::text::printable;

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
        let code = code.or(error.code()).map(code_of);
        if kept == detail && code == error.code() {
            return error;
        }
        let kind = error.kind();
        return code
            .and_then(|code| server_error(code, &kept))
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

/// The longest code. Those of Redis have at most 13 characters.
const LONGEST_CODE: usize = 32;

/// The part of a code that may be one. A server may join it to arguments.
fn code_of(text: &str) -> &str {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let end = text.find(|character| !is_part(character));
    // Up to there, each character is one byte.
    &text[..end.unwrap_or(text.len()).min(LONGEST_CODE)]
}

/// The part of the text before any argument.
fn kept(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let named = ARGUMENTS.iter().filter_map(|words| lower.find(words)).min();
    let ends = [named, second_quote(text), unknown_name(&lower)];
    let end = ends.into_iter().flatten().min();
    end.map_or(text, |end| text[..end].trim_end_matches(SEPARATORS))
}

/// The end of the name of a command that the server does not know. What follows may be its
/// arguments, without any mark. `lower`: the text, in lower case.
fn unknown_name(lower: &str) -> Option<usize> {
    const UNKNOWN: &str = "unknown command";
    let before = lower.find(UNKNOWN)? + UNKNOWN.len();
    let begin = before + lower[before..].find(|at: char| at.is_ascii_alphanumeric())?;
    let is_part = |at: char| at.is_ascii_alphanumeric() || ['_', '-', '.', '|'].contains(&at);
    let end = begin + lower[begin..].find(|at: char| !is_part(at))?;
    let quote = lower[end..].chars().next().filter(|at| QUOTES.contains(at));
    Some(end + quote.map_or(0, char::len_utf8))
}

/// The characters around a quoted word.
const QUOTES: [char; 3] = ['\'', '`', '"'];

/// The position of the second quoted word. If the first one has no end, the position of the first.
fn second_quote(text: &str) -> Option<usize> {
    let mut quoted = 0;
    // The open quote, and its position.
    let mut open: Option<(char, usize)> = None;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let is_quote = QUOTES.contains(&character);
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
mod tests;
