//! Answers of a near cache, its contents, and its cost.

use std::{collections::HashMap, convert::Infallible, thread, time::Duration};

use cache_aside::{Cache, Memory, Source, TtlRemaining};

use super::{MS, get, load, near, settle, warm};
use crate::{
    listeners,
    support::{Server, load_loaf, load_nothing, until},
};

/// The number of each command on the server, without heartbeats and this request.
fn commands(server: &Server) -> HashMap<String, u64> {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut server.connect())
        .unwrap();
    let lines = info.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = rest.split_once(',')?;
        Some((name.to_owned(), calls.parse().unwrap()))
    });
    lines
        .filter(|(name, _)| !["ping", "info"].contains(&&**name))
        .collect()
}

#[test]
fn what_was_loaded_is_a_hit_and_then_a_near_one() {
    let server = Server::start();
    let cache = near(server.url());
    assert_eq!(get(&cache, 1), (1, Source::Loaded));
    settle(&cache, &server, 1);
    let before = commands(&server);
    let found = cache.get("k", load(2)).unwrap();
    assert_eq!(found.source().name(), "near");
    assert!(found.is_hit());
    assert_eq!(found.redis_latency(), Duration::ZERO);
    assert_eq!(commands(&server), before, "nothing was sent");
    let stats = cache.stats();
    assert!(
        stats.near_hits >= 2 && stats.hits > stats.near_hits,
        "{stats:?}"
    );
    assert_eq!((stats.misses, stats.tracking_live), (1, true));
    assert!(
        stats
            .iter()
            .any(|number| number == ("near_hits", stats.near_hits))
    );
}

#[test]
fn a_loading_cache_has_near_hits_too() {
    let server = Server::start();
    let cache = near(server.url());
    let products = cache.loading(load_loaf);
    assert_eq!(products.get("k").unwrap().source(), Source::Loaded);
    until(|| products.get("k").unwrap().source() == Source::Near);
    assert!(near(server.url()).invalidate("k").unwrap());
    until(|| products.get("k").unwrap().source() == Source::Loaded);
}

#[test]
fn a_near_miss_is_one_request() {
    let server = Server::start();
    let cache = near(server.url());
    settle(&cache, &server, 1);
    let before = commands(&server);
    let other = near(server.url());
    assert_eq!(get(&other, 2), (1, Source::Hit));
    let after = commands(&server);
    let asked = |name: &str| after[name] - before.get(name).unwrap_or(&0);
    assert_eq!((asked("pttl"), asked("hgetall")), (1, 1));
    assert_eq!(get(&other, 2), (1, Source::Near));
}

#[test]
fn without_it_nothing_is_kept_near_and_nobody_listens() {
    let server = Server::start();
    let cache = server.cache();
    get(&cache, 1);
    assert_eq!(get(&cache, 2), (1, Source::Hit));
    assert_eq!(get(&cache, 2), (1, Source::Hit));
    assert!(listeners::of(&mut server.connect()).is_empty());
    assert_eq!(commands(&server).get("pttl"), None);
    assert!(!cache.stats().tracking_live);
}

#[test]
fn it_is_the_same_in_memory() {
    let cache = near(Memory::new(1000));
    assert_eq!(get(&cache, 1), (1, Source::Loaded));
    assert_eq!(get(&cache, 2), (1, Source::Hit));
    assert_eq!(get(&cache, 2), (1, Source::Near));
}

#[test]
fn that_there_is_no_record_is_kept_as_well() {
    let server = Server::start();
    let cache = server.builder().near_cache(10).negative_ttl(MS(20_000));
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    until(|| cache.get("k", load_nothing).unwrap().source() == Source::Near);
    let found = cache.get("k", load(1)).unwrap();
    assert!(found.record().is_none() && found.is_hit());
    assert!(cache.stats().negative_hits > 0);
    // An insert invalidates it.
    cache.invalidate("k").unwrap();
    assert_eq!(get(&cache, 1), (1, Source::Loaded));
}

#[test]
fn what_lives_for_ever_in_redis_is_not_kept() {
    let server = Server::start();
    let cache = near(server.url());
    let fields: [&str; 3] = ["test:k", "version", "7"];
    redis::cmd("HSET")
        .arg(&fields)
        .exec(&mut server.connect())
        .unwrap();
    for _ in 0..3 {
        assert_eq!(get(&cache, 1), (7, Source::Hit));
    }
}

#[test]
fn an_entry_ends_with_the_records_time_or_with_near_ttl() {
    let server = Server::start();
    for (ttl, near_ttl) in [(300, 20_000), (20_000, 300)] {
        let cache = server
            .builder()
            .near_cache(10)
            .ttl(MS(ttl))
            .near_ttl(MS(near_ttl));
        let cache: Cache = cache.build().unwrap();
        until(|| cache.stats().tracking_live);
        cache.invalidate("k").unwrap();
        warm(&cache, 1);
        // It was put there before this.
        thread::sleep(MS(300));
        assert_ne!(get(&cache, 2).1, Source::Near);
    }
}

#[test]
fn who_skips_the_cache_or_peeks_does_not_look_near() {
    let server = Server::start();
    let cache = near(server.url());
    settle(&cache, &server, 1);
    let found = cache.options().skip_cache(true).get("k", load(2)).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.peek("k").unwrap().unwrap().source(), Source::Hit);
    assert!(matches!(
        cache.ttl_remaining("k"),
        Ok(TtlRemaining::Left(_))
    ));
}

#[test]
fn at_its_capacity_it_goes_on_with_what_is_asked_for() {
    let server = Server::start();
    let cache: Cache = server.builder().near_cache(8).build().unwrap();
    until(|| cache.stats().tracking_live);
    for round in 0..3 {
        for id in 0..100 {
            let found = cache.get(id, load(1)).unwrap();
            assert!(round == 0 || found.is_hit());
        }
    }
    // A record that is read all the time stays.
    until(|| get(&cache, 1).1 == Source::Near);
}

#[test]
fn an_id_that_is_none_is_refused_as_ever() {
    let cache = near(Memory::new(10));
    let load = |_: &str| Ok::<_, Infallible>(None);
    assert!(cache.get("", load).is_err());
    assert!(cache.get("x".repeat(1 << 17), load).is_err());
}
