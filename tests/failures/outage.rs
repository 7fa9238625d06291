//! The breaker, and invalidations that did not reach Redis.

use std::{
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::proxy::{Harm, Proxy, Which};
use crate::support::{Server, chain, free_port, load_loaf, until, until_recovered};
use cache_aside::{Cache, Error, Record, Redis, RedisBuilder, Source, TtlRemaining};

/// Short enough for a test, long enough for a server that works.
const TIMEOUT: Duration = Duration::from_millis(400);

fn impatient(url: &str) -> RedisBuilder {
    Redis::builder(url)
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
        .probe_interval(Duration::from_millis(50))
}

fn cache(server: impl Into<cache_aside::Backend>) -> Cache {
    Cache::builder(server).prefix("test:").build().unwrap()
}

fn version(number: u32) -> Record {
    Record::from([("version", number.to_string())])
}

fn load(number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

/// Lookups of as many records as it takes to open the breaker.
fn open_the_breaker(cache: &Cache) {
    for id in 0.. {
        if cache.stats().breaker_open {
            return;
        }
        assert!(id < 5, "five failures in a row open it");
        let found = cache.get(id, load_loaf).unwrap();
        assert_eq!(found.source(), Source::Degraded);
    }
}

#[test]
fn a_silent_server_is_asked_no_more_after_a_few_failures_and_costs_nothing_then() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    cache.get("p-001", load_loaf).unwrap();
    server.freeze();
    open_the_breaker(&cache);

    let errors = cache.stats().store_errors;
    let mut elapsed: Vec<Duration> = (0..101)
        .map(|_| {
            let began = Instant::now();
            let found = cache.get("p-001", load_loaf).unwrap();
            assert_eq!(found.source(), Source::Degraded);
            let why = chain(found.degraded_cause().unwrap());
            assert!(
                why.contains("not sent, because 5 requests in a row failed"),
                "{why}"
            );
            let silent = format!("no answer within {TIMEOUT:?}");
            assert!(why.ends_with(&silent), "{why}");
            began.elapsed()
        })
        .collect();
    elapsed.sort();
    assert!(elapsed[50] < Duration::from_millis(1), "{elapsed:?}");
    assert_eq!(cache.stats().store_errors, errors);

    server.thaw();
    until(|| !cache.stats().breaker_open);
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
}

#[test]
fn a_lookup_meets_a_silent_server_at_most_once_whatever_it_was_about_to_ask() {
    let server = Server::start();
    let bound = 2 * TIMEOUT;
    // The first request finds it silent: the read.
    let cache = cache(impatient(&server.url()));
    server.freeze();
    let began = Instant::now();
    cache.get("p-001", load_loaf).unwrap();
    let of_the_read = began.elapsed();
    server.thaw();
    until(|| cache.get("p-001", load_loaf).unwrap().is_hit());
    // The last one does: the fill.
    let began = Instant::now();
    cache
        .get("p-002", |id| {
            server.freeze();
            load_loaf(id)
        })
        .unwrap();
    let of_the_fill = began.elapsed();
    server.thaw();
    // The allowance is for this machine, not part of the guarantee.
    let room = TIMEOUT * 3 / 4;
    assert!(of_the_read < bound + room, "{of_the_read:?}");
    assert!(of_the_fill < bound + room, "{of_the_fill:?}");
}

#[test]
fn all_caches_of_a_pool_learn_from_the_failures_of_one() {
    let server = Server::start();
    let redis = impatient(&server.url()).build().unwrap();
    let (one, other) = (cache(&redis), cache(&redis));
    server.freeze();
    open_the_breaker(&one);
    let began = Instant::now();
    assert_eq!(
        other.get("p-001", load_loaf).unwrap().source(),
        Source::Degraded
    );
    assert!(began.elapsed() < TIMEOUT / 2);
    assert!(other.stats().breaker_open);
    assert_eq!(other.stats().store_errors, 0);
    server.thaw();
}

#[test]
fn refusals_of_a_server_that_answers_do_not_open_the_breaker() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .exec(&mut server.connect())
        .unwrap();
    for id in 0..10 {
        let found = cache.get(id, load_loaf).unwrap();
        assert_eq!(found.source(), Source::Degraded);
    }
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_refusal_between_two_failures_shows_that_the_server_answers() {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let cache = cache(impatient(&proxy.url()).breaker_threshold(2));
    for _ in 0..3 {
        proxy.harm(Which::Each, Harm::CutBefore);
        assert!(cache.invalidate("p-001").is_err());
        proxy.spare();
        server.set_user(&["-evalsha"]);
        assert!(cache.invalidate("p-001").is_err());
        assert!(!cache.stats().breaker_open);
        server.set_user(&["+evalsha"]);
    }
}

#[test]
fn too_few_connections_do_not_open_the_breaker() {
    let server = Server::start();
    let cache = cache(
        impatient(&server.url())
            .pool_size(1)
            .checkout_timeout(Duration::from_millis(50))
            .io_timeout(Duration::from_secs(3)),
    );
    cache.get("p-001", load_loaf).unwrap();
    cache
        .update("p-001", |_| {
            for _ in 0..10 {
                assert_eq!(
                    cache.get("p-001", load_loaf).unwrap().source(),
                    Source::Degraded
                );
            }
            None
        })
        .unwrap();
    assert!(!cache.stats().breaker_open);
    until(|| cache.get("p-001", load_loaf).unwrap().is_hit());
}

/// G5, in the order in which the failures happen.
#[test]
fn what_an_invalidation_could_not_end_is_not_read_before_it_has_been_replayed() {
    let server = Server::start();
    let (cache, other) = (cache(impatient(&server.url())), server.cache());
    cache.get("p-001", load(1)).unwrap();
    server.freeze();
    let failed = cache.invalidate("p-001").unwrap_err();
    assert!(matches!(
        failed,
        Error::Store {
            request: "invalidate",
            ..
        }
    ));
    assert_eq!(cache.stats().invalidations_pending, 1);

    // While the server is silent, and from the moment it answers.
    let seen = Mutex::new(Vec::new());
    let done = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(SeqCst) == 0 {
                let found = cache.get("p-001", load(2)).unwrap();
                let record = found.into_record().unwrap();
                seen.lock().unwrap().push(record);
            }
        });
        thread::sleep(2 * TIMEOUT);
        server.thaw();
        until_recovered(&cache);
        done.store(1, SeqCst);
    });
    let seen = seen.into_inner().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|record| **record == version(2)));
    assert_eq!(cache.stats().invalidations_remembered, 1);
    // It is counted after it has been removed from those that are pending.
    until(|| cache.stats().invalidations_replayed == 1);
    // It is removed for all processes.
    let found = other.get("p-001", load(2)).unwrap();
    assert_eq!(**found.record().unwrap(), version(2));
    server.assert_every_key_expires();
}

#[test]
fn a_remembered_invalidation_is_replayed_though_nobody_asks_for_anything() {
    let mut server = Server::start();
    let (cache, other) = (cache(impatient(&server.url())), server.cache());
    server.kill();
    assert!(cache.invalidate("p-001").is_err());
    server.start_again();
    until_recovered(&cache);
    assert_eq!(
        other.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

/// It answers, so it is read. Records with pending invalidations stay bypassed.
#[test]
fn a_server_that_comes_back_read_only_is_read() {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let redis = impatient(&proxy.url()).breaker_threshold(2);
    let cache = cache(redis);
    for id in ["a", "b", "c"] {
        cache.get(id, load(1)).unwrap();
    }
    proxy.harm(Which::Each, Harm::CutBefore);
    for id in ["a", "b"] {
        cache.invalidate(id).unwrap_err();
    }
    assert!(cache.stats().breaker_open);
    redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(free_port())
        .exec(&mut server.connect())
        .unwrap();
    proxy.spare();
    until(|| cache.get("c", load_loaf).unwrap().is_hit());
    let found = cache.get("a", load(2)).unwrap();
    assert_eq!(**found.record().unwrap(), version(2));
    assert_eq!(cache.stats().invalidations_pending, 2);
}

/// A server rejects `PING` while it cannot save its snapshots, or from a user without the
/// permission. It answers all the same.
#[test]
fn a_server_that_refuses_the_probe_is_asked_again() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()).breaker_threshold(1));
    cache.get("p-001", load_loaf).unwrap();
    server.set_user(&["-ping"]);
    server.freeze();
    assert!(cache.invalidate("p-001").is_err());
    assert!(cache.stats().breaker_open);
    server.thaw();
    until(|| !cache.stats().breaker_open);
    assert_eq!(cache.stats().invalidations_pending, 0);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
}

#[test]
fn other_records_are_read_from_redis_while_one_waits_for_its_invalidation() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()).pool_size(1));
    cache.get("p-001", load(1)).unwrap();
    cache.get("p-002", load(1)).unwrap();
    server.set_user(&["-evalsha"]);
    assert!(cache.invalidate("p-001").is_err());
    let found = cache.get("p-001", load(2)).unwrap();
    assert_eq!(**found.record().unwrap(), version(2));
    assert_eq!(
        chain(found.degraded_cause().unwrap()),
        "request `read` failed: not sent, because an earlier invalidation of this record is pending"
    );
    assert!(cache.get("p-002", load(2)).unwrap().is_hit());
    server.set_user(&["+evalsha"]);
    until_recovered(&cache);
    let found = cache.get("p-001", load(2)).unwrap();
    assert_eq!(found.source(), Source::Loaded);
}

/// A user may write only some keys. A refusal for one key is not a refusal for all.
#[test]
fn an_invalidation_that_is_refused_does_not_hold_up_the_others() {
    let server = Server::start();
    let redis = impatient(&server.url()).build().unwrap();
    let cache_of =
        |prefix: &str| -> Cache { Cache::builder(&redis).prefix(prefix).build().unwrap() };
    let (allowed, refused) = (cache_of("a:"), cache_of("b:"));
    server.set_user(&["-evalsha"]);
    assert!(allowed.invalidate("p-001").is_err());
    assert!(refused.invalidate("p-001").is_err());
    server.set_user(&["resetkeys", "~a:*", "~lock:{a:*", "+evalsha"]);
    // Each is counted after it has been removed from those that are pending.
    until(|| allowed.stats().invalidations_replayed == 1);
    assert_eq!(allowed.stats().invalidations_pending, 1);
    allowed.get("p-001", load_loaf).unwrap();
    assert!(allowed.get("p-001", load_loaf).unwrap().is_hit());
}

/// An update would restart the TTL of the old record.
#[test]
fn a_record_that_waits_for_its_invalidation_is_not_updated_but_invalidated() {
    let server = Server::start();
    let slow = impatient(&server.url()).probe_interval(Duration::from_secs(60));
    let cache = cache(slow);
    for by_field in [true, false] {
        cache.get("p-001", load(1)).unwrap();
        server.set_user(&["-evalsha"]);
        assert!(cache.invalidate("p-001").is_err());
        server.set_user(&["+evalsha"]);
        let updated = if by_field {
            cache.update_field("p-001", "stock", "41")
        } else {
            cache.update("p-001", |old| Some(old.clone()))
        };
        assert!(!updated.unwrap());
        assert_eq!(cache.stats().invalidations_pending, 0);
        assert_eq!(
            cache.ttl_remaining("p-001").unwrap(),
            TtlRemaining::NoSuchKey
        );
    }
}

#[test]
fn an_invalidation_that_is_repeated_and_succeeds_settles_the_one_that_failed() {
    let server = Server::start();
    let slow = impatient(&server.url()).probe_interval(Duration::from_secs(60));
    let cache = cache(slow);
    cache.get("p-001", load(1)).unwrap();
    server.freeze();
    assert!(cache.invalidate("p-001").is_err());
    // The probes of these seconds fail; the next one is far away.
    thread::sleep(TIMEOUT);
    server.thaw();
    until(|| cache.invalidate("p-001").is_ok());
    assert_eq!(cache.stats().invalidations_pending, 0);
    assert_eq!(
        cache.get("p-001", load(2)).unwrap().source(),
        Source::Loaded
    );
}

/// More than can be pending one by one.
#[test]
fn where_there_is_no_room_the_whole_prefix_is_bypassed_until_nothing_old_can_be_left() {
    let mut server = Server::start();
    let redis = impatient(&server.url())
        .breaker_threshold(1)
        .build()
        .unwrap();
    let life = Duration::from_millis(300);
    let builder = Cache::builder(&redis).prefix("test:").ttl(life);
    let cache: Cache = builder.lease_ttl(life).max_load_time(life).build().unwrap();
    let others: Cache = Cache::builder(&redis).prefix("others:").build().unwrap();
    // One that lives longer than the cache's own TTL.
    let longer = cache.options().ttl(2 * life);
    longer.get("longer", load_loaf).unwrap();
    server.kill();
    for id in 0..10_001 {
        assert!(cache.invalidate(id).is_err());
    }
    let overflowed = Instant::now();
    assert_eq!(cache.stats().invalidations_pending, 10_000);
    assert_eq!(cache.stats().invalidations_remembered, 10_001);
    server.start_again();
    until(|| !cache.stats().breaker_open);
    // All of it has been replayed.
    assert_eq!(cache.stats().invalidations_pending, 0);

    others.get("p-001", load_loaf).unwrap();
    assert!(others.get("p-001", load_loaf).unwrap().is_hit());
    until(|| {
        let found = cache.get("never invalidated", load_loaf).unwrap();
        found.source() != Source::Degraded
    });
    // The longest TTL, a load and a lease.
    assert!(overflowed.elapsed() >= 4 * life);
    assert!(cache.get("never invalidated", load_loaf).unwrap().is_hit());
    server.assert_every_key_expires();
}

#[test]
fn a_cache_that_is_dropped_in_an_outage_ends_its_threads() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    server.freeze();
    open_the_breaker(&cache);
    assert!(cache.invalidate("p-001").is_err());
    let began = Instant::now();
    drop(cache);
    // A running probe is waited for.
    assert!(began.elapsed() < 10 * TIMEOUT);
    server.thaw();
}
