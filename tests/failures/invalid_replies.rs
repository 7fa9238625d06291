//! Replies that the protocol does not allow: none of them counts as an answer.
//!
//! No real server gives them, so a thread acts as the server. It answers all other commands
//! correctly.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, LoadContext, Record, Redis, Source};

use crate::{
    fake,
    support::{chain, free_port, until, until_recovered},
};

/// The replies of the server to these commands, instead of the correct ones.
type Answers = Arc<Mutex<HashMap<&'static str, String>>>;

struct Hostile {
    port: u16,
    answers: Answers,
    /// How many scripts were called.
    calls: Arc<AtomicU32>,
}

impl Hostile {
    fn start() -> Hostile {
        let (port, answers, calls) = (free_port(), Answers::default(), Arc::default());
        let (shared, counter) = (Arc::clone(&answers), Arc::clone(&calls));
        fake::answer(port, move |words| {
            let is_call = words[0] == "EVALSHA" && !words[1].starts_with("0000");
            AtomicU32::fetch_add(&counter, u32::from(is_call), SeqCst);
            let said = shared.lock().unwrap().get(&*words[0]).cloned();
            match said {
                None => correct(words),
                // A push, and then the reply.
                Some(push) if words[0] == "PING" => push + &correct(words),
                Some(said) => said,
            }
        });
        Hostile {
            port,
            answers,
            calls,
        }
    }

    fn says(&self, command: &'static str, answer: impl Into<String>) {
        self.answers.lock().unwrap().insert(command, answer.into());
    }

    fn is_well(&self) {
        self.answers.lock().unwrap().clear();
    }

    fn cache(&self) -> Cache {
        // Never opens, so that each call is sent.
        let url = format!("redis://127.0.0.1:{}", self.port);
        let redis = Redis::builder(url).breaker_threshold(10_000);
        let builder = Cache::builder(redis).prefix("test:").near_cache(10);
        // Longer than the time that each record has left.
        let builder = builder.ttl(Duration::from_secs(3_600));
        // The change stream is not lost on a busy machine either.
        let builder = builder.near_staleness(Duration::from_secs(10));
        builder.build().unwrap()
    }
}

/// The reply of a server with one record, which is the same at each key.
fn correct(words: &[String]) -> String {
    match &*words[0] {
        // With a `run_id`, nobody asks for the role later.
        "INFO" => "$36\r\nredis_version:7.0.15\r\nrun_id:4f2a1b9\r\n".to_owned(),
        "SCRIPT" => "$40\r\n0000000000000000000000000000000000000000\r\n".to_owned(),
        "EVALSHA" if words[1].starts_with("0000") => "-NOSCRIPT x\r\n".to_owned(),
        "EVALSHA" => ":1\r\n".to_owned(),
        "HGETALL" => fake::texts(&["version", "1"]),
        "PTTL" => ":60000\r\n".to_owned(),
        "TYPE" => "+none\r\n".to_owned(),
        "DEL" | "HSET" | "PEXPIRE" => "+QUEUED\r\n".to_owned(),
        "EXEC" => "*3\r\n:0\r\n:1\r\n:1\r\n".to_owned(),
        "PING" if words.len() == 2 => format!("${}\r\n{}\r\n", words[1].len(), words[1]),
        "PING" => "+PONG\r\n".to_owned(),
        _ => fake::usual(words),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it is a loader")]
fn load(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(Record::from([("version", "2")])))
}

fn get(cache: &Cache) -> (String, Source) {
    let found = cache.get("p-001", load).unwrap();
    let version = found.record().unwrap().get("version").unwrap().to_owned();
    (version, found.source())
}

/// The lookup must then not believe a replica.
#[test]
fn a_lease_that_comes_with_no_floor_or_a_wrong_one_is_no_answer() {
    const NONCE: &str = "0123456789abcdef0123456789abcdef";
    let server = Hostile::start();
    let redis = Redis::builder(format!("redis://127.0.0.1:{}", server.port));
    let builder = Cache::builder(redis.breaker_threshold(10_000)).prefix("test:");
    let plain: Cache = builder.build().unwrap();
    let redis = Redis::builder(format!("redis://127.0.0.1:{}", server.port));
    let builder = Cache::builder(redis.breaker_threshold(10_000)).prefix("test:");
    let versioned: Cache = builder.versions(Duration::from_secs(60)).build().unwrap();
    server.says("HGETALL", "*0\r\n");
    let wrong: [&[&str]; 8] = [
        &["acquired"],
        &["acquired", "7"],
        &["acquired", "0000000000000000000x"],
        &["acquired", "18446744073709551616"],
        &["acquired", "?0123456789abcdef0123456789abcdef"],
        &["acquired", "", ""],
        &["guarded", NONCE],
        &["guarded", NONCE, "7"],
    ];
    let told = |cache: &Cache| {
        let mut told = Vec::new();
        let load = |context: &LoadContext<'_>| {
            told.push((context.min_version(), context.read_primary()));
            load(context.id())
        };
        let found = cache.options().get_with_context("p-001", load).unwrap();
        (found.source(), told)
    };
    let degraded = (Source::Degraded, vec![(None, true)]);
    for reply in wrong {
        server.says("EVALSHA", fake::texts(reply));
        assert_eq!(told(&versioned), degraded, "{reply:?}");
    }
    for reply in [&["acquired", ""] as &[_], &["guarded", NONCE, "?"]] {
        server.says("EVALSHA", fake::texts(reply));
        assert_eq!(told(&plain), degraded, "{reply:?}");
    }
    // A correct one. The fill is then refused by a reply that is none.
    server.says(
        "EVALSHA",
        fake::texts(&["acquired", "00000000000000000007"]),
    );
    assert_eq!(told(&versioned), (Source::Loaded, vec![(Some(7), false)]));
    server.is_well();
}

#[test]
fn some_fields_are_read_only_from_a_reply_with_a_value_for_each() {
    let server = Hostile::start();
    let cache = server.cache();
    for command in ["PTTL", "HMGET"] {
        server.says(command, "+QUEUED\r\n");
    }
    server.says("MULTI", "+OK\r\n");
    let read = |reply: &str| {
        server.says("EXEC", reply);
        cache.get_fields("p-001", &["version"])
    };
    // The TTL, what tells the kind of the entry, and the field.
    let found = read("*2\r\n:1000\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n7\r\n").unwrap();
    assert_eq!(found.unwrap().record().unwrap()["version"], *"7");
    assert!(
        read("*2\r\n:-2\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n")
            .unwrap()
            .is_none()
    );
    for reply in [
        "*-1\r\n",
        "*1\r\n:1000\r\n",
        "*2\r\n:1000\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n",
        "*2\r\n:1000\r\n*5\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n7\r\n$1\r\n8\r\n",
        "*2\r\n:1000\r\n$1\r\n7\r\n",
        "*2\r\n:1000\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n*1\r\n$1\r\n7\r\n",
        "*2\r\n:-7\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n7\r\n",
        "*2\r\n-ERR no\r\n*4\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n7\r\n",
        "*2\r\n:1000\r\n-ERR no\r\n",
        "+OK\r\n",
    ] {
        read(reply).expect_err(reply);
    }
}

#[test]
fn an_invalidation_whose_reply_is_neither_0_nor_1_stays_pending() {
    let server = Hostile::start();
    for reply in [
        "+OK\r\n",
        "+1\r\n",
        "$1\r\n1\r\n",
        ":2\r\n",
        ":-1\r\n",
        "*1\r\n:1\r\n",
        "$-1\r\n",
    ] {
        let cache = server.cache();
        server.says("EVALSHA", reply);
        let refused = cache.invalidate("p-001").expect_err(reply);
        assert!(chain(&refused).contains("the reply is invalid"), "{reply}");
        assert!(
            cache.invalidate_many(["p-001", "p-002"]).is_err(),
            "{reply}"
        );
        assert_eq!(cache.stats().invalidations_pending, 2);
        assert_eq!(get(&cache), ("2".to_owned(), Source::Degraded));
        server.is_well();
        until_recovered(&cache);
    }
}

#[test]
fn a_lease_whose_reply_has_another_length_is_not_taken() {
    let server = Hostile::start();
    server.says("HGETALL", "*0\r\n");
    let cache = server.cache();
    for reply in [
        fake::texts(&["acquired", "x"]),
        fake::texts(&["record"]),
        fake::texts(&["record", "version"]),
        fake::texts(&["held", "x"]),
        fake::texts(&["guarded", &"0".repeat(32), "x"]),
        fake::texts(&["guarded", "x"]),
        fake::texts(&[]),
        "+acquired\r\n".to_owned(),
    ] {
        server.says("EVALSHA", &*reply);
        assert_eq!(get(&cache), ("2".to_owned(), Source::Degraded), "{reply}");
    }
}

#[test]
fn a_transaction_without_a_reply_to_each_command_is_not_done() {
    let server = Hostile::start();
    let cache = server.cache();
    let update = || cache.update_field("p-001", "version", "3").unwrap();
    assert!(update());
    for (command, reply) in [
        ("EXEC", "*0\r\n"),
        ("EXEC", "*2\r\n:1\r\n:1\r\n"),
        ("EXEC", "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n"),
        ("EXEC", "+OK\r\n"),
        ("HSET", "+OK\r\n"),
        ("HSET", ":1\r\n"),
        ("MULTI", "+QUEUED\r\n"),
    ] {
        server.says(command, reply);
        let before = server.calls.load(SeqCst);
        // The record is invalidated instead.
        assert!(!update(), "{command} {reply}");
        assert_eq!(server.calls.load(SeqCst), before + 1, "{command} {reply}");
        server.is_well();
    }
}

#[test]
fn a_time_that_no_record_can_have_left_is_an_invalid_reply() {
    let server = Hostile::start();
    let cache = server.cache();
    assert!(cache.ttl_remaining("p-001").is_ok());
    for reply in [":-3\r\n", ":-9223372036854775808\r\n", "+OK\r\n"] {
        server.says("PTTL", reply);
        let refused = cache.ttl_remaining("p-001").expect_err(reply);
        assert!(chain(&refused).contains("the reply is invalid"), "{reply}");
    }
}

#[test]
fn a_cursor_that_does_not_move_fails_the_clear() {
    let server = Hostile::start();
    let cache = server.cache();
    server.says("SCAN", "*2\r\n$1\r\n7\r\n*0\r\n");
    let clear = thread::spawn(move || cache.clear());
    until(|| clear.is_finished());
    assert!(clear.join().unwrap().is_err());
}

#[test]
fn a_push_of_another_form_counts_as_a_change_of_every_record() {
    let server = Hostile::start();
    let cache = server.cache();
    until(|| get(&cache) == ("1".to_owned(), Source::Near));
    server.says("HGETALL", fake::texts(&["version", "3"]));
    let key = "+test:p-001\r\n";
    server.says("PING", format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n{key}"));
    until(|| get(&cache).0 == "3");
}

#[cfg(feature = "sentinel")]
#[test]
fn a_master_whose_host_would_forge_a_line_of_the_log_is_an_invalid_reply() {
    let server = Hostile::start();
    let host = "10.0.0.1\r\nERROR forged";
    server.says("SENTINEL", fake::texts(&[host, "6379"]));
    let url = format!("redis+sentinel://127.0.0.1:{}/shop", server.port);
    let error = chain(&Redis::builder(url).build().unwrap_err());
    assert!(error.contains("the reply is invalid"), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}
