//! Texts of a server that would forge lines of a log, or fill it: they are escaped and cut.

use std::sync::{Arc, Mutex};

use cache_aside::{Cache, Error, Event, Redis};

use crate::{
    fake, lines,
    support::{chain, free_port, load_loaf},
};

/// It ends a line, clears a terminal, and forges a line.
const FORGED: &str = "ERR one\r\nERROR two\u{1b}[2J\u{2028}three";

/// The longest that a message with two texts of a server, of 500 bytes each, may be.
const LONGEST: usize = 2_000;

fn assert_fits(text: &str) {
    assert!(
        !text.contains(char::is_control) && !text.contains('\u{2028}'),
        "{text:?}"
    );
    assert!(text.len() <= LONGEST, "{} bytes", text.len());
}

fn assert_fit(error: &Error) {
    for text in [
        error.to_string(),
        format!("{error:#}"),
        format!("{error:?}"),
        chain(error),
    ] {
        assert_fits(&text);
    }
}

/// How the server refuses a request. An error in RESP3 may have several lines.
fn refusal(is_resp3: bool) -> String {
    if is_resp3 {
        let long = FORGED.repeat(50_000);
        format!("!{}\r\n{long}\r\n", long.len())
    } else {
        format!("-ERR a\u{1b}[2J{}\r\n", "x".repeat(1 << 20))
    }
}

#[test]
fn what_a_server_says_is_escaped_and_cut() {
    own_process!();
    lines::listen();
    for is_resp3 in [false, true] {
        let port = free_port();
        fake::answer(port, move |words| match &*words[0] {
            "HELLO" => fake::texts(&[
                "server",
                FORGED,
                "version",
                "7.0.15",
                "mode",
                "standalone",
                "role",
                "master",
            ]),
            "HGETALL" | "EVAL" => refusal(is_resp3),
            "EVALSHA" => "-NOSCRIPT No matching script\r\n".to_owned(),
            "INFO" => "$-1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        });
        let protocol = if is_resp3 { "?protocol=resp3" } else { "" };
        let redis = Redis::builder(format!("redis://127.0.0.1:{port}/{protocol}"));
        let noticed = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&noticed);
        let cache =
            Cache::builder(redis)
                .prefix("test:")
                .observer(move |_: &str, event: &Event<'_>| {
                    notes.lock().unwrap().push(format!("{event:?}"));
                });
        let cache: Cache = cache.build().unwrap_or_else(|error| {
            assert_fit(&error);
            panic!("{error:#}")
        });
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_fit(
            found
                .degraded_cause()
                .expect("the server refuses each request"),
        );
        assert_fit(&cache.invalidate("p-001").unwrap_err());
        for event in noticed.lock().unwrap().iter() {
            assert_fits(event);
        }
    }
    let all = lines::with("");
    assert!(!all.is_empty(), "the failures are logged");
    for line in &all {
        assert_fits(line);
    }
}
