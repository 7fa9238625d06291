//! Failures on the wire or on the server, at each step of a batch.

use std::sync::Mutex;

use super::*;
use crate::{
    proxy::{Harm, Proxy, Which},
    support::{Server, until},
};

const IDS: [&str; 4] = ["a", "b", "c", "d"];

const HARMS: [Harm; 10] = [
    Harm::CutBefore,
    Harm::CutInRequest,
    Harm::CutBeforeReply,
    Harm::CutInReply,
    Harm::CutAtLastByte,
    Harm::StallInReply,
    Harm::Hold,
    Harm::Replace(b"-LOADING Redis is loading the dataset in memory\r\n"),
    Harm::Replace(b"-READONLY You can't write against a read only replica.\r\n"),
    Harm::Replace(b"+OK\r\n"),
];

/// Whichever request is harmed: all records are returned, each is loaded once, and an invalidated
/// record does not come back.
#[test]
fn a_batch_is_answered_whatever_harms_one_of_its_requests() {
    for step in 1..=3 {
        for harm in HARMS {
            let server = Server::start_on_port();
            let proxy = Proxy::before(server.port());
            let cache = cache(impatient(&proxy.url()));
            cache.get_many(["a"], rows("1")).unwrap();
            proxy.harm(Which::Nth(step), harm);
            let asked = Mutex::new(Vec::new());
            let load = |missing: &[&str]| {
                let own = missing.iter().map(|id| (*id).to_owned());
                asked.lock().unwrap().extend(own);
                rows("2")(missing)
            };
            let found = cache.get_many(IDS, load).unwrap();
            let case = format!("{harm:?} at step {step}");
            assert_are(&found, &IDS);
            let mut asked = asked.into_inner().unwrap();
            asked.sort();
            let degraded = found.iter().all(|found| found.source() == Source::Degraded);
            // Either the hit was lost as well, or it was not.
            let expected = if step == 1 && degraded {
                &IDS[..]
            } else {
                &IDS[1..]
            };
            assert_eq!(asked, expected, "{case}");
            assert_eq!(cache.stats().loads, 2, "{case}: one call for all");

            proxy.spare();
            proxy.let_through();
            until(|| !cache.stats().breaker_open);
            let fresh = super::cache(&*server.url());
            fresh.invalidate_many(IDS).unwrap();
            for cache in [&fresh, &cache] {
                let found = cache.get_many(IDS, rows("3")).unwrap();
                assert_eq!(versions(&found), ["3"; 4], "{case}");
            }
            server.assert_every_key_expires();
        }
    }
}

#[test]
fn a_lease_of_which_the_reply_was_lost_is_given_back() {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let cache = cache(impatient(&proxy.url()));
    cache.ttl_remaining("warm").unwrap();
    proxy.harm(Which::Nth(2), Harm::CutBeforeReply);
    let found = cache.get_many(IDS, rows("1")).unwrap();
    assert_eq!(sources(&found), [Source::Degraded; 4]);
    let mut direct = server.connect();
    until(|| {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("lock:*")
            .query(&mut server.connect())
            .unwrap();
        keys.is_empty()
    });
    let left: u64 = redis::cmd("DBSIZE").query(&mut direct).unwrap();
    assert_eq!(left, 0);
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_server_that_dies_while_a_batch_loads_costs_nothing_but_the_fills() {
    let mut server = Server::start();
    let cache = cache(impatient(&server.url()));
    cache.get_many(["a"], rows("1")).unwrap();
    let killed = Mutex::new(&mut server);
    let load = |missing: &[&str]| {
        killed.lock().unwrap().kill();
        rows("2")(missing)
    };
    let found = cache.get_many(IDS, load).unwrap();
    assert_eq!(versions(&found), ["1", "2", "2", "2"]);
    // Without the server: one load for all, each time.
    let found = cache.get_many(IDS, rows("3")).unwrap();
    assert_eq!(versions(&found), ["3"; 4]);
    assert_eq!(sources(&found), [Source::Degraded; 4]);
    assert_eq!(cache.stats().loads, 3);
}

#[test]
fn a_server_that_is_stopped_while_a_batch_loads_costs_one_timeout() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    cache.ttl_remaining("warm").unwrap();
    let mut stopped = None;
    let load = |missing: &[&str]| {
        server.freeze();
        stopped = Some(std::time::Instant::now());
        rows("2")(missing)
    };
    let ids = names(3_000);
    let found = cache.get_many(&ids, load).unwrap();
    let elapsed = stopped.unwrap().elapsed();
    server.thaw();
    assert_are(&found, &ids);
    assert!(elapsed < 5 * TIMEOUT, "{elapsed:?}");
}

/// Other programs' keys, and other programs' locks.
#[test]
fn what_is_of_another_type_is_loaded_and_replaced() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    let mut direct = server.connect();
    let mut tell = |command: &[&str]| {
        redis::cmd(command[0])
            .arg(&command[1..])
            .exec(&mut direct)
            .unwrap();
    };
    tell(&["RPUSH", "test:a", "1", "2"]);
    tell(&["SET", "test:b", "a text"]);
    tell(&["RPUSH", "lock:{test:c}", "1"]);
    let found = cache.get_many(IDS, rows("1")).unwrap();
    assert_eq!(sources(&found), [Source::Loaded; 4]);
    assert_eq!(cache.stats().unreadable_entries, 2);
    assert_eq!(
        sources(&cache.get_many(IDS, never).unwrap()),
        [Source::Hit; 4]
    );
    server.assert_every_key_expires();
}

#[test]
fn a_key_that_is_denied_is_degraded_and_the_others_are_not() {
    let server = Server::start();
    server.expect_denials();
    let mut direct = server.connect();
    let rule = [
        "SETUSER",
        "some",
        "on",
        ">pw",
        "+@all",
        "~test:[abc]",
        "~lock:{test:[abc]}",
    ];
    redis::cmd("ACL").arg(&rule).exec(&mut direct).unwrap();
    let cache = cache(&*format!("{}?user=some&pass=pw", server.admin_url()));
    let calls = Mutex::new(Vec::new());
    let load = |missing: &[&str]| {
        calls.lock().unwrap().push(missing.join(" "));
        rows("1")(missing)
    };
    let found = cache.get_many(IDS, load).unwrap();
    let mut expected = [Source::Loaded; 4];
    expected[3] = Source::Degraded;
    assert_eq!(sources(&found), expected);
    assert_eq!(*calls.lock().unwrap(), ["a b c d"], "in one call");
    let stats = cache.stats();
    assert_eq!(
        (stats.store_errors, stats.degraded),
        (1, 1),
        "one request, one lookup"
    );
    assert!(!stats.breaker_open);

    let ended = cache.invalidate_many(IDS);
    assert!(ended.is_err());
    assert_eq!(cache.stats().invalidations_pending, 1);
    assert!(cache.peek("a").unwrap().is_none(), "the others are ended");
}
