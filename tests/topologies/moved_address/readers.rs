//! Processes that only read, and so never get `READONLY`.

use std::{
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis, Source};

use super::{
    MS, SEEN_WITHIN, load, number,
    pair::{Former, Pair},
};
use crate::{
    listeners,
    proxy::{Harm, Proxy, Which},
    support::{Server, until},
};

/// A cache that hits version 1 of `x`, and whose connections live long.
fn reader(pair: &Pair) -> Cache {
    let redis = pair.redis().io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| cache.get("x", load(1)).unwrap().is_hit());
    cache
}

/// Reads until version 2 comes, and returns how long that took.
fn until_2(reader: &Cache) -> Duration {
    let began = Instant::now();
    until(|| number(reader.get("x", load(2)).unwrap().record()) == 2);
    began.elapsed()
}

#[test]
fn a_reader_is_right_again_within_a_second() {
    for former in [Former::ReplicaCutOff, Former::Master] {
        let pair = Pair::start();
        let reader = reader(&pair);
        pair.move_to(1, former);
        let other = pair.cache();
        assert!(other.invalidate("x").unwrap());
        assert_eq!(other.get("x", load(2)).unwrap().source(), Source::Loaded);
        let elapsed = until_2(&reader);
        assert!(elapsed < SEEN_WITHIN, "{former:?}: {elapsed:?}");
        assert_eq!(reader.stats().degraded, 0, "{former:?}");
    }
}

/// Replies on a shared connection are handed out one by one. Those of the former server are not.
#[test]
fn those_who_share_a_connection_get_nothing_that_the_former_server_says_after_the_move() {
    const READERS: usize = 8;
    let servers = [(); 2].map(|()| Server::start_on_port());
    for (number, server) in ["1", "2"].into_iter().zip(&servers) {
        for id in (0..READERS)
            .map(|id| id.to_string())
            .chain(["first".to_owned()])
        {
            let mut put = redis::cmd("HSET");
            put.arg(format!("test:{id}")).arg(&["version", number]);
            put.exec(&mut server.connect()).unwrap();
        }
    }
    let proxy = Proxy::before(servers[0].port());
    let redis = Redis::builder(proxy.url()).pool_size(1);
    let redis = redis.io_timeout(MS(20_000)).checkout_timeout(MS(20_000));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let read = |id: &str| number(cache.get(id, load(9)).unwrap().record());
    assert_eq!(read("first"), 1);
    // The first caller has the only connection until the others have arrived.
    proxy.harm(Which::With(b"test:first"), Harm::Delay(MS(150)));
    thread::scope(|scope| {
        let first = scope.spawn(|| read("first"));
        until(|| proxy.has_harmed());
        let ids = (0..READERS).map(|id| id.to_string());
        let others: Vec<_> = ids.map(|id| scope.spawn(move || read(&id))).collect();
        // Their common request is answered after the address was moved, and the move was noticed.
        proxy.harm(Which::With(b"test:"), Harm::Delay(SEEN_WITHIN));
        assert_eq!(first.join().unwrap(), 1);
        until(|| proxy.has_harmed());
        proxy.move_to(servers[1].port());
        let seen: Vec<_> = others
            .into_iter()
            .map(|other| other.join().unwrap())
            .collect();
        assert_eq!(seen, [2; READERS]);
    });
}

/// Its connections lay idle when the address was moved.
#[test]
fn a_reader_that_was_idle_is_right_from_its_first_read_on() {
    let pair = Pair::start();
    let reader = reader(&pair);
    pair.move_to(1, Former::Master);
    pair.cache().invalidate("x").unwrap();
    thread::sleep(SEEN_WITHIN);
    let found = reader.get("x", load(2)).unwrap();
    assert_eq!(number(found.record()), 2);
}

/// The open connections check the role, because there are no others.
#[test]
fn a_former_master_is_left_also_where_the_address_leads_nowhere() {
    let pair = Pair::start();
    let reader = reader(&pair);
    pair.move_to(1, Former::ReplicaCutOff);
    pair.relay.move_to_each(&[]);
    let elapsed = until_2(&reader);
    assert!(elapsed < SEEN_WITHIN, "{elapsed:?}");
}

#[test]
fn near_hits_are_right_again_a_second_and_their_bound_later() {
    for former in [Former::ReplicaCutOff, Former::Master] {
        let pair = Pair::start();
        let bound = MS(400);
        let near = pair.builder().near_cache(10).near_staleness(bound);
        let near: Cache = near.build().unwrap();
        until(|| near.get("x", load(1)).unwrap().source() == Source::Near);
        pair.move_to(1, former);
        pair.cache().invalidate("x").unwrap();
        let elapsed = until_2(&near);
        assert!(elapsed < SEEN_WITHIN + bound, "{former:?}: {elapsed:?}");
        // The listener has moved: it receives what another process ends there.
        until(|| listeners::of(&mut pair.servers[1].connect()).len() == 1);
        until(|| near.get("x", load(2)).unwrap().source() == Source::Near);
        assert!(pair.cache().invalidate("x").unwrap());
        until(|| near.peek("x").unwrap().is_none());
    }
}

/// A near cache without other lookups has no pooled connection after ten minutes; it has a
/// listener.
#[test]
fn a_listener_leaves_a_former_master_that_nobody_asks_for_anything() {
    let pair = Pair::start();
    let near: Cache = pair.builder().near_cache(10).build().unwrap();
    until(|| near.stats().tracking_live);
    assert_eq!(listeners::of(&mut pair.servers[0].connect()).len(), 1);
    pair.move_to(1, Former::Master);
    let began = Instant::now();
    until(|| listeners::of(&mut pair.servers[1].connect()).len() == 1);
    let elapsed = began.elapsed();
    assert!(elapsed < SEEN_WITHIN, "{elapsed:?}");
}

/// Only a pool with connections needs to know whether the address leads elsewhere.
#[test]
fn a_pool_without_connections_opens_none() {
    let pair = Pair::start();
    let cache = pair.cache();
    let opened = pair.relay.opened();
    thread::sleep(MS(2_200));
    assert_eq!(pair.relay.opened(), opened);
    cache.get("x", load(1)).unwrap();
    until(|| pair.relay.opened() > opened + 1);
}
