//! Addresses that lead to a replica, or to several servers in turn.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use super::{
    MS, load,
    pair::{Pair, replicate, start_server},
};
use crate::{
    relay::Relay,
    support::{Server, until},
};

fn cache_on(relay: &Relay) -> Cache {
    Cache::builder(relay.url()).prefix("test:").build().unwrap()
}

/// Reads with several threads for a while. Returns the lookups, and how many of them were no hits.
fn read(cache: &Cache, time: Duration) -> (u64, u64) {
    let (all, others) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    let found = cache.get("x", load(1)).unwrap();
                    all.fetch_add(1, SeqCst);
                    others.fetch_add(u64::from(found.source() != Source::Hit), SeqCst);
                }
            });
        }
        thread::sleep(time);
        is_over.store(true, SeqCst);
    });
    (all.into_inner(), others.into_inner())
}

fn put_x(server: &Server) {
    let mut put = redis::cmd("HSET");
    put.arg(&["test:x", "version", "1"]);
    put.exec(&mut server.connect()).unwrap();
}

/// `READONLY` retires connections to a former master, and no others.
#[test]
fn a_replica_behind_a_fixed_address_goes_on_serving_hits() {
    let pair = Pair::start();
    put_x(&pair.servers[0]);
    pair.wait_until_linked(1);
    let relay = Relay::to(pair.servers[1].port());
    let cache = cache_on(&relay);
    until(|| cache.get("x", load(1)).unwrap().is_hit());
    let (opened, began) = (relay.opened(), Instant::now());
    for round in 0..300 {
        assert!(cache.invalidate(format!("y-{}", round % 3)).is_err());
        assert!(cache.invalidate_many(["y-1", "y-2"]).is_err());
        let found = cache.get("x", load(1)).unwrap();
        assert_eq!(found.source(), Source::Hit, "{round}");
    }
    // One connection a second checks whether the address has been moved.
    let opened = relay.opened() - opened;
    let looks = usize::try_from(began.elapsed().as_secs()).unwrap() * 2 + 2;
    assert!(opened <= looks + 4, "{opened}");
}

/// None of them accepts writes, so no write is acknowledged by one and missing on the next.
#[test]
fn replicas_behind_one_address_are_read_in_turn() {
    let pair = Pair::start();
    let third = start_server();
    replicate(&third, pair.servers[0].port());
    put_x(&pair.servers[0]);
    let relay = Relay::to(third.port());
    let has_it = |server: &Server| {
        let exists = redis::cmd("EXISTS")
            .arg("test:x")
            .query(&mut server.connect());
        exists.unwrap_or(false)
    };
    until(|| has_it(&third) && has_it(&pair.servers[1]));
    relay.move_to_each(&[third.port(), pair.servers[1].port()]);
    let cache = cache_on(&relay);
    let (all, others) = read(&cache, MS(2_500));
    let opened = relay.opened();
    println!("{all} lookups, {others} of them no hits, by {opened} connections");
    assert_eq!(others, 0);
    assert!(opened < 30, "{opened}");
}

/// This is no setup for a cache: a write to one is missing on the other. Its cost is bounded.
#[test]
fn masters_behind_one_address_are_changed_once_a_second() {
    let servers = [(); 2].map(|()| Server::start_on_port());
    let relay = Relay::to(servers[0].port());
    let cache = Cache::builder(relay.url()).prefix("test:");
    let cache: Cache = cache.ttl(Duration::from_secs(60)).build().unwrap();
    servers.iter().for_each(put_x);
    relay.move_to_each(&[servers[0].port(), servers[1].port()]);
    let (all, others) = read(&cache, MS(3_500));
    let opened = relay.opened();
    println!("{all} lookups, {others} of them no hits, by {opened} connections");
    assert!(others * 2 < all, "{others} of {all}");
    assert!(opened < 200, "{opened}");
}
