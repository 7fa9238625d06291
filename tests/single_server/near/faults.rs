//! The listener is lost, rejected or silent: the near cache stops within its bound, and everything
//! else works as without it.

use std::{
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Cache, Redis, Source,
    store::{Acquire, Floor, Keys, Recheck, Token},
};

use super::{MS, get, near, near_within, settle, warm};
use crate::{
    listeners,
    support::{Server, load_loaf, until},
};

#[test]
fn a_listener_that_was_cut_off_comes_back_and_uses_nothing_from_before() {
    let server = Server::start();
    // Long enough that only the loss itself ends near entries.
    let cache = near_within(server.url(), MS(60_000));
    let other = server.cache();
    for version in 1..20 {
        other.invalidate("k").unwrap();
        until(|| get(&cache, version) == (version, Source::Near));
        let listener = listeners::of(&mut server.connect())[0];
        listeners::kill(&mut server.connect(), listener);
        // Perhaps before it is back: it gets no message.
        other.invalidate("k").unwrap();
        until(|| {
            listeners::of(&mut server.connect())
                .first()
                .is_some_and(|id| *id != listener)
                && cache.stats().tracking_live
        });
        assert_eq!(get(&cache, version + 1).0, version + 1);
    }
}

/// Reads that find nothing, and the replies that the client library drops for that, do not make it
/// lose its connection.
#[test]
fn an_idle_listener_stays_on_its_connection() {
    let server = Server::start();
    // Longer than a busy machine keeps a reply waiting.
    let bound = MS(1_500);
    let cache = near_within(server.url(), bound);
    let before = listeners::of(&mut server.connect());
    // A connection without a reply is given up after the bound.
    thread::sleep(2 * bound);
    assert_eq!(listeners::of(&mut server.connect()), before);
    assert!(cache.stats().tracking_live);
}

#[test]
fn a_server_that_is_silent_ends_what_is_near_within_the_bound() {
    let server = Server::start();
    let redis = Redis::builder(server.url())
        .io_timeout(MS(50))
        .checkout_timeout(MS(50));
    let bound = MS(300);
    let cache = near_within(redis, bound);
    settle(&cache, &server, 1);
    server.freeze();
    let silent = Instant::now();
    let mut near_for = MS(0);
    while silent.elapsed() < 3 * bound {
        let began = silent.elapsed();
        let (version, source) = get(&cache, 2);
        match source {
            Source::Near => near_for = began,
            Source::Degraded => assert_eq!(version, 2),
            other => panic!("{other}"),
        }
    }
    assert!(near_for < bound, "{near_for:?}");
    assert!(!cache.stats().tracking_live);
    server.thaw();
    until(|| cache.stats().tracking_live && !cache.stats().breaker_open);
    until(|| get(&cache, 3).1 == Source::Near);
}

#[test]
fn a_server_that_was_restarted_is_listened_to_again() {
    let mut server = Server::start();
    let cache = near_within(server.url(), MS(60_000));
    warm(&cache, 1);
    server.kill();
    until(|| !cache.stats().tracking_live);
    assert_eq!(get(&cache, 2), (2, Source::Degraded));
    server.start_again();
    until(|| cache.stats().tracking_live);
    assert_eq!(get(&cache, 3).0, 3);
    until(|| get(&cache, 3).1 == Source::Near);
}

#[test]
fn without_the_permission_to_track_everything_else_works() {
    let server = Server::start();
    server.expect_denials();
    let mut admin = server.connect();
    let mut user = |rules: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("least").arg(rules);
        command.exec(&mut admin).unwrap();
    };
    // Redis 6 can only forbid whole commands.
    user(&["on", ">pw", "~*", "+@all", "-client"]);
    let url = format!("{}?user=least&pass=pw", server.admin_url());
    let cache = Cache::builder(&*url).prefix("test:").near_cache(10);
    let cache: Cache = cache.build().unwrap();
    assert_eq!(get(&cache, 1), (1, Source::Loaded));
    for _ in 0..20 {
        assert_eq!(get(&cache, 2), (1, Source::Hit));
    }
    assert!(cache.invalidate("k").unwrap());
    assert!(!cache.stats().tracking_live && cache.stats().store_errors == 0);
    // It tries again now and then.
    user(&["+client|tracking"]);
    until(|| cache.stats().tracking_live);
    until(|| get(&cache, 3).1 == Source::Near);
}

/// A proxy, or a server before 6.0: it does not know RESP3, or not the command.
#[test]
fn where_the_server_does_not_know_how_everything_else_works() {
    let server = Server::start_with(&["--rename-command", "HELLO", ""]);
    // The least user may not ask for the role by `ROLE`, which is done instead.
    server.expect_denials();
    let cache = server.builder().near_cache(10);
    let cache: Cache = cache.build().unwrap();
    assert_eq!(get(&cache, 1), (1, Source::Loaded));
    for _ in 0..20 {
        assert_eq!(get(&cache, 2), (1, Source::Hit));
        thread::sleep(MS(1));
    }
    assert!(!cache.stats().tracking_live);
}

#[test]
fn a_cache_that_is_built_before_its_server_is_there_listens_when_it_comes() {
    let mut server = Server::start();
    server.kill();
    let redis = Redis::builder(server.url());
    let cache: Cache = Cache::builder(redis)
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    assert_eq!(get(&cache, 1), (1, Source::Degraded));
    server.start_again();
    until(|| cache.stats().tracking_live);
    until(|| get(&cache, 1).1 == Source::Near);
}

#[test]
fn a_dropped_cache_listens_no_longer() {
    let server = Server::start();
    let cache = near(server.url());
    assert_eq!(listeners::of(&mut server.connect()).len(), 1);
    let clone = cache.clone();
    drop(cache);
    warm(&clone, 1);
    let began = Instant::now();
    drop(clone);
    assert!(began.elapsed() < MS(2000));
    until(|| listeners::of(&mut server.connect()).is_empty());
}

#[test]
fn leases_are_heard_under_both_their_names() {
    const LONG: Duration = Duration::from_secs(60);
    let server = Server::start();
    let store = Redis::builder(server.url()).build().unwrap().store();
    for prefix in ["test:", "test:{shop}:"] {
        let cache = Cache::builder(server.url()).prefix(prefix).tracking(true);
        let cache: Cache = cache.wait_timeout(2 * LONG).build().unwrap();
        until(|| cache.stats().tracking_live);
        for id in ["k", "{tag}:k"] {
            let (keys, holder) = (Keys::of(format!("{prefix}{id}")), Token::random());
            let asked = store.acquire(&keys, holder, LONG, Recheck::Always).unwrap();
            assert_eq!(asked, Acquire::Acquired(Floor::None));
            let misses = cache.stats().misses;
            thread::scope(|scope| {
                let waiting = scope.spawn(|| cache.get(id, load_loaf).unwrap().source());
                until(|| cache.stats().misses > misses);
                let released = Instant::now();
                assert!(store.release(&keys, holder).unwrap());
                assert_eq!(waiting.join().unwrap(), Source::Loaded);
                // Without a push, it would wait until the lease lapses.
                assert!(released.elapsed() < LONG / 2);
            });
        }
    }
}

/// By an administrator, a proxy, or a server without memory for its output buffer.
#[test]
fn a_listener_that_is_cut_off_again_and_again_tries_again_with_growing_pauses() {
    let server = Server::start();
    let cache = near(server.url());
    let mut direct = server.connect();
    let (began, mut cuts) = (Instant::now(), 0);
    while began.elapsed() < MS(1000) {
        for id in listeners::of(&mut direct) {
            let mut kill = redis::cmd("CLIENT");
            let cut = kill.arg("KILL").arg("ID").arg(id).query(&mut direct);
            // It may have gone in between.
            cuts += cut.unwrap_or(0);
        }
    }
    // 10 ms, 20, 40 and so on, each less up to a half.
    assert!(cuts <= 20, "{cuts} connections in a second");
    until(|| cache.stats().tracking_live);
}
