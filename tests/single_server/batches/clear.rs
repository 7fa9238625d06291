//! Clearing a cache on a server that is busy with other keys.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Instant,
};

use redis::Connection;

use super::*;
use crate::{
    proxy::{Harm, Proxy, Which},
    support::{Server, load_loaf, until},
};

/// Writes this many small records, past the cache.
fn fill(direct: &mut Connection, prefix: &str, count: u32) {
    let script = redis::Script::new(
        "for i = tonumber(ARGV[2]), tonumber(ARGV[3]) do
           redis.call('HSET', ARGV[1] .. i, 'id', i, 'version', 'old')
           redis.call('PEXPIRE', ARGV[1] .. i, 600000)
         end",
    );
    for begin in (0..count).step_by(10_000) {
        let end = (begin + 10_000).min(count) - 1;
        let mut call = script.prepare_invoke();
        call.arg(prefix).arg(begin).arg(end);
        call.invoke::<()>(direct).unwrap();
    }
}

fn size(direct: &mut Connection) -> u64 {
    redis::cmd("DBSIZE").query(direct).unwrap()
}

#[test]
fn others_are_served_while_a_large_cache_is_cleared() {
    const RECORDS: u32 = 200_000;
    let server = Server::start();
    let mut direct = server.connect();
    fill(&mut direct, "test:", RECORDS);
    fill(&mut direct, "others:", 20_000);
    let cache = server.cache();
    let removed = AtomicBool::new(false);
    let mut seen = Vec::new();
    let (mut latencies, count) = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut direct = server.connect();
            let mut latencies = Vec::new();
            while !removed.load(SeqCst) {
                let began = Instant::now();
                redis::cmd("PING").exec(&mut direct).unwrap();
                latencies.push(began.elapsed());
                thread::sleep(Duration::from_micros(200));
            }
            latencies
        });
        let count = cache.clear_with_progress(|so_far| seen.push(so_far));
        removed.store(true, SeqCst);
        (pings.join().unwrap(), count.unwrap())
    });
    assert_eq!(count, u64::from(RECORDS));
    assert_eq!(size(&mut direct), 20_000, "of others, none is gone");
    latencies.sort();
    assert!(latencies.len() > 100, "{}", latencies.len());
    let p99 = latencies[latencies.len() * 99 / 100];
    // It would be about a second if all were removed in one step.
    assert!(p99 < Duration::from_millis(50), "{p99:?}");
    // Enough for a progress bar.
    assert!(seen.len() > 200, "{}", seen.len());
    assert!(
        seen.windows(2)
            .all(|two| two[0].fraction <= two[1].fraction)
    );
    // Even steps: not everything in the last one.
    let middle = seen[seen.len() / 2].fraction;
    assert!((0.2..0.8).contains(&middle), "{middle}");
    assert!((seen.last().unwrap().fraction - 1.0).abs() < f64::EPSILON);
}

#[test]
fn the_share_grows_while_the_table_grows_and_shrinks() {
    let server = Server::start();
    let mut direct = server.connect();
    let cache = server.cache();
    fill(&mut direct, "others:", 3_000);
    let mut shares = Vec::new();
    let mut grow = true;
    cache
        .clear_with_progress(|so_far| {
            shares.push(so_far.fraction);
            if shares.len() % 4 == 0 {
                if grow {
                    fill(&mut direct, "others:", 60_000);
                } else {
                    redis::cmd("FLUSHALL").exec(&mut direct).unwrap();
                    fill(&mut direct, "others:", 2_000);
                }
                grow = !grow;
            }
        })
        .unwrap();
    assert!(shares.len() > 4, "{shares:?}");
    assert!(shares.windows(2).all(|two| two[0] <= two[1]), "{shares:?}");
    assert!((shares.last().unwrap() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_prefix_is_no_pattern() {
    let server = Server::start();
    let prefixes = [
        "t*st:", "t?st:", "t[e]st:", "te\\st:", "{t}est:", "^test:", "t[^x]st:",
    ];
    let others = ["test:", "tttst:", "test", "ts", "te", "{t}", "tst:"];
    for prefix in prefixes {
        let builder = |prefix: &str| Cache::builder(server.admin_url()).prefix(prefix);
        let cache: Cache = builder(prefix).build().unwrap();
        let others: Vec<Cache> = others.map(|other| builder(other).build().unwrap()).into();
        for cache in others.iter().chain([&cache]) {
            cache.get("k", load_loaf).unwrap();
        }
        let slow = cache.get("slow", |id| {
            // Its lease is found, too.
            cache.clear().unwrap();
            load_loaf(id)
        });
        slow.unwrap();
        assert!(cache.peek("k").unwrap().is_none(), "{prefix}");
        assert!(cache.peek("slow").unwrap().is_none(), "{prefix}");
        for other in &others {
            assert!(other.peek("k").unwrap().is_some(), "{prefix}: {other:?}");
        }
    }
}

#[test]
fn keys_of_other_programs_with_the_prefix_go_whatever_they_are() {
    let server = Server::start();
    let mut direct = server.connect();
    for command in [
        "SET test:a 1",
        "RPUSH test:b 1",
        "SET test:c:d 1",
        "SET test 1",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        redis::cmd(words[0])
            .arg(&words[1..])
            .exec(&mut direct)
            .unwrap();
    }
    redis::cmd("SET")
        .arg(b"test:\xff")
        .arg(1)
        .exec(&mut direct)
        .unwrap();
    assert_eq!(server.cache().clear().unwrap(), 3);
    // One without the prefix, and one whose name is not UTF-8.
    assert_eq!(size(&mut direct), 2);
}

/// At a step of the leases and at one of the records, in the scan and in the removal.
#[test]
fn a_clear_that_fails_is_an_error_and_nothing_old_is_read() {
    for step in [1, 2, 5, 6] {
        let server = Server::start_on_port();
        let proxy = Proxy::before(server.port());
        let mut direct = server.connect();
        fill(&mut direct, "test:", 6_000);
        let cache = cache(impatient(&proxy.url()).breaker_threshold(100));
        cache.ttl_remaining("warm").unwrap();
        // It also fails each time it is repeated in the background.
        proxy.harm(Which::From(step), Harm::StallInReply);
        let mut so_far = 0;
        let failed = cache.clear_with_progress(|cleared| so_far = cleared.removed);
        assert!(failed.is_err(), "at step {step}");
        assert!(size(&mut direct) > 0);
        let found = cache.get_many(["1", "5999"], rows("new")).unwrap();
        assert_eq!(versions(&found), ["new"; 2]);
        assert_eq!(sources(&found), [Source::Degraded; 2]);
        proxy.spare();
        // A repeated call removes the rest.
        until(|| cache.clear().is_ok());
        assert_eq!(size(&mut direct), 0);
    }
}

/// In the middle of the records. The outage takes a second, and the TTL is ten minutes.
#[test]
fn the_prefix_of_a_clear_that_an_outage_cut_off_is_read_again_soon_after_its_end() {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let mut direct = server.connect();
    fill(&mut direct, "test:", 6_000);
    fill(&mut direct, "others:", 100);
    let cache = patient_cache(impatient(&proxy.url()));
    let failed = cache.clear_with_progress(|cleared| {
        if cleared.fraction > 0.5 {
            proxy.harm(Which::Each, Harm::CutBefore);
        }
    });
    assert!(failed.is_err());
    let left = size(&mut direct);
    assert!(left > 100, "{left}");
    let until_back = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until_back {
        let found = cache.get_many(["1", "5999"], rows("new")).unwrap();
        assert_eq!(versions(&found), ["new"; 2]);
        assert_eq!(sources(&found), [Source::Degraded; 2]);
    }
    proxy.spare();
    let back = Instant::now();
    until(|| {
        let found = cache.get_many(["1", "5999"], rows("new")).unwrap();
        assert_eq!(versions(&found), ["new"; 2]);
        !sources(&found).contains(&Source::Degraded)
    });
    let took = back.elapsed();
    println!("the prefix was read again {took:?} after the end of the outage");
    // Much longer than the pauses between two attempts, and much shorter than the TTL.
    assert!(took < Duration::from_secs(10), "{took:?}");
    // Of this prefix only what was loaded since is left.
    assert_eq!(size(&mut direct), 102);
    assert_eq!(cache.stats().invalidations_pending, 0);
}

/// G1, with loads in progress at every moment.
#[test]
fn what_was_cleared_does_not_come_back() {
    let server = Server::start();
    // So that there is always a record to load.
    let brief = || server.builder().ttl(Duration::from_millis(3));
    let (writer, cache): (Cache, Cache) = (brief().build().unwrap(), brief().build().unwrap());
    fill(&mut server.connect(), "others:", 2_000);
    let primary = Mutex::new("0".to_owned());
    let removed = AtomicBool::new(false);
    let ids = names(40);
    thread::scope(|scope| {
        for number in 0..3 {
            let (cache, primary, removed, ids) = (&cache, &primary, &removed, &ids);
            scope.spawn(move || {
                while !removed.load(SeqCst) {
                    let mut some = ids.clone();
                    some.rotate_left(number * 13);
                    let load = |missing: &[&str]| {
                        let version = primary.lock().unwrap().clone();
                        // Longer than a clear takes, and shorter.
                        thread::sleep(Duration::from_millis(8 * number as u64));
                        rows(&version)(missing)
                    };
                    cache.get_many(&some, load).unwrap();
                }
            });
        }
        let checked = catch_unwind(AssertUnwindSafe(|| {
            for version in 1..=60_u32 {
                *primary.lock().unwrap() = version.to_string();
                writer.clear().unwrap();
                for cache in [&writer, &cache] {
                    let load = |missing: &[&str]| rows(&version.to_string())(missing);
                    let found = cache.get_many(&ids, load).unwrap();
                    let version = version.to_string();
                    assert!(versions(&found).iter().all(|found| *found == version));
                }
            }
        }));
        removed.store(true, SeqCst);
        checked.unwrap();
    });
    assert_eq!(cache.stats().degraded + writer.stats().degraded, 0);
}
