//! Refuses what an address must not contain, and what redis-rs would ignore without a word.
//!
//! Guarantees that no message contains any part of a password, even where the address is cut at the
//! wrong place. Called before the address is parsed.

use super::refused;
use crate::error::Error;

/// The parameters of any address, and those of a socket, which has no other place for them.
const OF_ALL: &[&str] = &["protocol"];
const OF_SOCKETS: &[&str] = &["db", "user", "pass", "protocol"];

/// How to write the special characters of a password.
const ENCODE: &str = "in a password `#` is `%23`, `/` is `%2F`, `?` is `%3F`";

/// Checks an address, which is given as its scheme and the rest.
pub(super) fn check(scheme: &str, rest: &str) -> Result<(), Error> {
    let is_socket = scheme.ends_with("unix");
    if rest.contains(char::is_control) {
        return Err(refused(
            "there is a line break, or another control character, in it",
        ));
    }
    check_password(is_socket, rest)?;
    if let Some((_, fragment)) = rest.split_once('#') {
        return Err(refused(if fragment == "insecure" {
            "`#insecure` is not supported: certificates are always checked; a root of your own is set by `tls_root_certificate`"
        } else {
            "nothing may follow a `#`; in a password or a path, `#` is `%23`"
        }));
    }
    match rest.split_once('?') {
        Some((_, parameters)) => check_parameters(is_socket, parameters),
        None => Ok(()),
    }
}

/// Refuses an address whose host begins within the password, as in `redis://user:12#34@host`. Such
/// an address would lead to the host `user`, and the error message would show a part of the
/// password.
fn check_password(is_socket: bool, rest: &str) -> Result<(), Error> {
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // The address of a socket has no host, and its path may contain any character.
    if !is_socket && rest[authority_ends..].contains('@') {
        return Err(refused(format!(
            "there is an `@` behind the host; {ENCODE}"
        )));
    }
    Ok(())
}

fn check_parameters(is_socket: bool, parameters: &str) -> Result<(), Error> {
    let known = if is_socket { OF_SOCKETS } else { OF_ALL };
    let (mut seen, mut has_password) = (Vec::new(), false);
    for parameter in parameters.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !known.contains(&name) {
            return Err(refused(unknown(name, has_password, is_socket)));
        }
        if seen.contains(&name) {
            return Err(refused(format!("the parameter `{name}` is given twice")));
        }
        seen.push(name);
        has_password |= name == "pass";
        if ["user", "pass"].contains(&name) && value.contains('+') {
            // It stands for a space here, and for itself in an address with a host.
            return Err(refused(
                "in a parameter, write `+` as `%2B`, and a space as `%20`",
            ));
        }
    }
    Ok(())
}

fn unknown(name: &str, has_password: bool, is_socket: bool) -> String {
    let is_word = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=32).contains(&name.len()) && name.bytes().all(is_plain)
    };
    if has_password {
        // The name may be the rest of the password.
        return "a parameter behind the password is unknown; in a password `&` is `%26`".to_owned();
    }
    let name = if is_word(name) {
        format!("the parameter `{name}` is unknown")
    } else {
        "a parameter is unknown".to_owned()
    };
    if is_socket {
        format!("{name}; known are `db`, `user`, `pass` and `protocol`")
    } else {
        format!(
            "{name}; known is `protocol`; the user, the password and the database are written as in \
             `redis://user:password@host:6379/3`"
        )
    }
}
