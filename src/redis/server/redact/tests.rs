//! What is kept of a server's message.

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
        "unknown command HELLO 3 AUTH secret",
        "unknown command 'HELLO' 3 AUTH secret",
        "Unknown command HELLO\t3",
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
fn a_code_has_no_arguments() {
    for (code, kept) in [
        ("EVALSHA-2-secret", "EVALSHA"),
        ("ERR:secret", "ERR"),
        (&*"A".repeat(1 << 20), &*"A".repeat(LONGEST_CODE)),
    ] {
        let error = without_arguments(server_error(code, "no").unwrap());
        assert_eq!((error.code(), error.detail()), (Some(kept), Some("no")));
    }
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
    assert_eq!(error.code(), Some("HELLO"));
    let in_code = server_error("SECRET", "no").unwrap();
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
