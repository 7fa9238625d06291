//! Refuses what an address must not contain, and what redis-rs would ignore without a word.
//!
//! Guarantees that no message contains any part of a password, even where the address is cut at the
//! wrong place. Called before the address is parsed.

use super::{CLUSTER, SENTINEL, name_and_port, refused, user_and_hosts};
use crate::error::Error;

/// Those of redis-rs, and those for several hosts.
const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+unix",
    "valkey+unix",
    "redis+cluster",
    "rediss+cluster",
    "valkey+cluster",
    "valkeys+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "valkey+sentinel",
    "valkeys+sentinel",
];

/// Said of an address with another scheme, or without one.
const BEGIN: &str = "an address begins with `redis://`, `rediss://`, `unix://`, `redis+cluster://` or \
                     `redis+sentinel://`, as in `redis://host:6379`";

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
    if !SCHEMES.contains(&scheme) {
        return Err(refused(BEGIN));
    }
    check_password(is_socket, rest)?;
    if !is_socket {
        check_hosts(scheme, rest)?;
    }
    if let Some((_, fragment)) = rest.split_once('#') {
        return Err(refused(if fragment == "insecure" {
            "`#insecure` is not supported: certificates are always checked; a root of your own is set by `tls_root_certificate`"
        } else {
            "nothing may follow a `#`; in a password or a path, `#` is `%23`"
        }));
    }
    match rest.split_once('?') {
        Some((_, parameters)) => check_parameters(scheme, parameters),
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

/// Refuses several hosts where one is expected, and a port that is no number of a port.
fn check_hosts(scheme: &str, rest: &str) -> Result<(), Error> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, hosts) = user_and_hosts(authority);
    if hosts.contains(',') && !scheme.ends_with(CLUSTER) && !scheme.ends_with(SENTINEL) {
        return Err(refused(
            "there are several hosts; write `redis+cluster://host:6379,host:6379` or \
             `redis+sentinel://host:26379,host:26379/NAME`",
        ));
    }
    for host in hosts.split(',') {
        let Some((name, port)) = name_and_port(host) else {
            continue;
        };
        if !name.ends_with(']') && (name.is_empty() || port.contains(':')) {
            return Err(refused(
                "an IPv6 address is written in brackets, as in `[::1]:6379`",
            ));
        }
        if !port.trim().is_empty() && !matches!(port.trim().parse::<u16>(), Ok(1..)) {
            return Err(refused("the port is no number from 1 to 65535"));
        }
    }
    Ok(())
}

fn check_parameters(scheme: &str, parameters: &str) -> Result<(), Error> {
    let is_socket = scheme.ends_with("unix");
    let known = if is_socket { OF_SOCKETS } else { OF_ALL };
    let (mut seen, mut has_password) = (Vec::new(), false);
    for parameter in parameters.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !known.contains(&name) {
            return Err(refused(unknown(name, has_password, scheme)));
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

fn unknown(name: &str, has_password: bool, scheme: &str) -> String {
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
    let (rest, example) = if scheme.ends_with("unix") {
        return format!("{name}; known are `db`, `user`, `pass` and `protocol`");
    } else if scheme.ends_with(CLUSTER) {
        (
            "the user and the password",
            "redis+cluster://user:password@host:6379",
        )
    } else if scheme.ends_with(SENTINEL) {
        (
            "the user, the password and the database",
            "redis+sentinel://user:password@host:26379/NAME/3",
        )
    } else {
        (
            "the user, the password and the database",
            "redis://user:password@host:6379/3",
        )
    };
    format!("{name}; known is `protocol`; {rest} are written as in `{example}`")
}

#[cfg(test)]
mod tests {
    use crate::redis::address::url::Address;

    fn refusal(url: &str) -> String {
        Address::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_in_words() {
        for (urls, words) in [
            (
                &["nothing", "", "one:6379", "http://one", "127.0.0.1:6379"][..],
                "begins with `redis://`",
            ),
            (
                &[
                    "redis://one:65536",
                    "redis://one:-1",
                    "redis://one:0",
                    "redis://one:port",
                    "redis+cluster://one:1,two:x",
                ],
                "no number from 1 to 65535",
            ),
            (&["redis://::1", "redis://fe80::1:6379"], "brackets"),
            (
                &["redis://one,two", "rediss://one:1,two:2/3"],
                "several hosts; write `redis+cluster",
            ),
            (&["redis+sentinel://one/shop /0"], "white space in the name"),
            (&["redis+sentinel://one/"], "comes the name"),
            (&["redis://user:a%zz@one:6379/x"], "as `%` and its code"),
        ] {
            for url in urls {
                let refusal = refusal(url);
                assert!(refusal.contains(words), "{url}: {refusal}");
            }
        }
        for fine in [
            "redis://[::1]",
            "redis://[::1]:6379",
            "redis+cluster://[::1],one:1",
            "redis://:1,2@one:7",
        ] {
            Address::parse(fine).unwrap();
        }
    }
}
