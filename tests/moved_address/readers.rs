//! Processes that only read, and so never hear `READONLY`.

use std::{
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use crate::{
    MS, SEEN_WITHIN, listeners, load, number,
    pair::{Former, Pair},
    support::until,
};

/// A cache that hits version 1 of `x`, and whose connections live long.
fn reader(pair: &Pair) -> Cache {
    let redis = pair.redis().io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| cache.get("x", load(1)).unwrap().is_hit());
    cache
}

/// Reads until version 2 comes, and says how long that took.
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
        let took = until_2(&reader);
        assert!(took < SEEN_WITHIN, "{former:?}: {took:?}");
        assert_eq!(reader.stats().degraded, 0, "{former:?}");
    }
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

/// The open connections are asked for the role, since there are no others.
#[test]
fn a_former_master_is_left_also_where_the_address_leads_nowhere() {
    let pair = Pair::start();
    let reader = reader(&pair);
    pair.move_to(1, Former::ReplicaCutOff);
    pair.relay.move_to_each(&[]);
    let took = until_2(&reader);
    assert!(took < SEEN_WITHIN, "{took:?}");
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
        let took = until_2(&near);
        assert!(took < SEEN_WITHIN + bound, "{former:?}: {took:?}");
        // The listener has moved: what another process ends there is heard.
        until(|| listeners::of(&mut pair.servers[1].connect()).len() == 1);
        until(|| near.get("x", load(2)).unwrap().source() == Source::Near);
        assert!(pair.cache().invalidate("x").unwrap());
        until(|| near.peek("x").unwrap().is_none());
    }
}

/// A near cache that is never asked for anything else has no pooled connection after ten minutes; it has a listener.
#[test]
fn a_listener_leaves_a_former_master_that_nobody_asks_for_anything() {
    let pair = Pair::start();
    let near: Cache = pair.builder().near_cache(10).build().unwrap();
    until(|| near.stats().listening);
    assert_eq!(listeners::of(&mut pair.servers[0].connect()).len(), 1);
    pair.move_to(1, Former::Master);
    let began = Instant::now();
    until(|| listeners::of(&mut pair.servers[1].connect()).len() == 1);
    let took = began.elapsed();
    assert!(took < SEEN_WITHIN, "{took:?}");
}

/// Whether the address leads elsewhere by now matters to those who have a connection.
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
