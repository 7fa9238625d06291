//! The cursor of a scan of one server is invalid on another.

use std::time::Duration;

use cache_aside::{Cache, ClearProgress};

use super::pair::{Former, Pair};
use crate::support::chain;

/// Moves the address when the scan has reached this fraction.
fn fails_if_the_address_is_moved_at(fraction: f64) {
    let pair = Pair::start();
    let fill =
        redis::Script::new("for i = 1, 10000 do redis.call('SET', 'test:' .. i, i, 'EX', 600) end");
    fill.invoke::<()>(&mut pair.servers[0].connect()).unwrap();
    let patient = pair.redis().io_timeout(Duration::from_secs(3));
    let cache: Cache = Cache::builder(patient).prefix("test:").build().unwrap();
    let mut is_moved = false;
    let cleared = cache.clear_with_progress(|cleared: ClearProgress| {
        if !is_moved && cleared.fraction >= fraction {
            is_moved = true;
            pair.move_to(1, Former::Replica);
            // A caller that gets `READONLY` moves the whole pool.
            cache.invalidate("p").unwrap();
        }
    });
    assert!(is_moved);
    let refused = chain(&cleared.unwrap_err());
    assert!(refused.contains("another server"), "{refused}");
    // The next call sees a single server.
    cache.clear().unwrap();
}

#[test]
fn a_clear_fails_where_the_address_is_moved_meanwhile() {
    fails_if_the_address_is_moved_at(0.1);
    fails_if_the_address_is_moved_at(0.6);
}

/// Leases are scanned on one server, and records on the other: a load with an earlier lease could
/// fill after the scan.
#[test]
fn a_clear_fails_where_the_address_is_moved_between_leases_and_records() {
    fails_if_the_address_is_moved_at(0.5);
}

/// Nothing has been scanned yet.
#[test]
fn a_clear_begins_on_the_server_that_it_finds() {
    let pair = Pair::start();
    let cache = pair.cache();
    for id in ["a", "b"] {
        cache.get(id, super::load(1)).unwrap();
    }
    pair.move_to(1, Former::Replica);
    cache.invalidate("a").unwrap();
    assert_eq!(cache.clear().unwrap(), 1);
}
