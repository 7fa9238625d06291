//! The relay of an outbox on real servers: Redis is away and comes back, a relay dies between the
//! invalidation and the acknowledgement, several relays share a table, and other processes read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use cache_aside::{Cache, OutboxRelay, Redis, Source};

use crate::{
    support::{Server, free_port, load_loaf, until},
    table::{NEVER, PATIENCE, Step, Table},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A cache that notices soon that its server is silent.
fn impatient(server: &Server, prefix: &str) -> Cache {
    let redis = Redis::builder(server.url())
        .checkout_timeout(MS(100))
        .connect_timeout(MS(100))
        .io_timeout(MS(100))
        .probe_interval(MS(20));
    let builder = Cache::builder(redis).prefix(prefix);
    builder.ttl(Duration::from_secs(600)).build().unwrap()
}

/// A cache of another process, whose records last.
fn other(server: &Server) -> Cache {
    let builder = server.builder().ttl(Duration::from_secs(600));
    builder.build().unwrap()
}

fn is_cached(cache: &Cache, id: &str) -> bool {
    cache.peek(id).unwrap().is_some()
}

#[test]
fn while_redis_is_away_entries_stay_and_when_it_is_back_they_are_invalidated_in_order() {
    let server = Server::start();
    let (reader, cache) = (other(&server), impatient(&server, "test:"));
    let ids = ["p-001", "p-002", "p-003"];
    for id in ids {
        reader.get(id, load_loaf).unwrap();
    }
    let table = Table::default();
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(MS(10)).start().unwrap();
    assert!(relay.flush(PATIENCE));

    server.freeze();
    let positions = ids.map(|id| table.insert("test:", id));
    until(|| relay.stats().errors >= 2);
    let stats = relay.stats();
    assert_eq!((stats.acknowledged, stats.waiting), (0, 3));
    assert!(stats.oldest.is_some());
    assert_eq!(table.len(), 3);
    server.thaw();

    assert!(relay.flush(PATIENCE));
    assert_eq!(table.acknowledged().concat(), positions);
    for id in ids {
        assert!(!is_cached(&reader, id), "{id}");
    }
    let stats = relay.stats();
    assert_eq!((stats.waiting, stats.oldest), (0, None));
}

/// Nothing of the relay's process is left: neither its pending invalidations nor its position.
#[test]
fn an_entry_of_a_relay_that_died_before_it_reached_redis_is_taken_by_the_next_one() {
    let server = Server::start();
    let reader = other(&server);
    reader.get("p-001", load_loaf).unwrap();
    let table = Table::default();
    // Nobody listens there, so no request of the first relay can arrive late.
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let cache: Cache = Cache::builder(nowhere).prefix("test:").build().unwrap();
    table.insert("test:", "p-001");
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    until(|| relay.stats().errors >= 1);
    assert!(relay.stop(PATIENCE));
    // With it goes what it remembers.
    drop(cache);
    assert!(is_cached(&reader, "p-001"));

    let cache = other(&server);
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert!(!is_cached(&reader, "p-001"));
    assert_eq!(table.acknowledged(), [[1]]);
}

#[test]
fn a_relay_that_dies_between_the_invalidation_and_the_acknowledgement_harms_nothing() {
    let server = Server::start();
    let (reader, cache) = (other(&server), other(&server));
    reader.get("p-001", load_loaf).unwrap();
    let table = Table::default();
    table.insert("test:", "p-001");
    let is_dying = Arc::new(AtomicBool::new(false));
    let died = Arc::clone(&is_dying);
    let outbox = table.outbox_with(move |step| {
        if step == Step::Acknowledge {
            died.store(true, SeqCst);
            return Err("it has died here".into());
        }
        Ok(())
    });
    let relay = OutboxRelay::builder(outbox).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    until(|| is_dying.load(SeqCst));
    assert!(relay.stop(PATIENCE));
    assert!(!is_cached(&reader, "p-001"));
    assert_eq!(table.len(), 1);

    // Its replay meets a record that was loaded since. That costs a load, and nothing else.
    reader.get("p-001", load_loaf).unwrap();
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.len(), 0);
    let found = reader.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
}

/// A failure of one server holds back the entries behind it, and none before it.
#[test]
fn entries_are_acknowledged_up_to_the_first_one_that_was_not_invalidated() {
    let (working, silent) = (Server::start(), Server::start());
    let reader = other(&working);
    let here = other(&working);
    let there = impatient(&silent, "there:");
    for id in ["p-001", "p-003"] {
        reader.get(id, load_loaf).unwrap();
    }
    silent.freeze();
    let table = Table::default();
    table.insert("test:", "p-001");
    table.insert("there:", "p-002");
    table.insert("test:", "p-003");
    let relay = OutboxRelay::builder(table.outbox())
        .cache(&here)
        .cache(&there);
    let relay = relay.poll(NEVER).start().unwrap();
    until(|| relay.stats().errors >= 2);
    assert_eq!(table.acknowledged(), [[1]]);
    // Invalidated, but behind the one that waits.
    assert!(!is_cached(&reader, "p-001") && !is_cached(&reader, "p-003"));
    assert_eq!(relay.stats().waiting, 2);
    silent.thaw();
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.acknowledged(), [vec![1], vec![2, 3]]);
}

#[test]
fn relays_of_two_processes_share_a_table_and_each_entry_is_invalidated() {
    let server = Server::start();
    let reader = other(&server);
    let table = Table::default();
    let ids: Vec<_> = (0..200).map(|id| id.to_string()).collect();
    for id in &ids {
        reader.get(id, load_loaf).unwrap();
        table.insert("test:", id);
    }
    let caches = [other(&server), other(&server)];
    let relays = caches.each_ref().map(|cache| {
        let relay = OutboxRelay::builder(table.outbox()).cache(cache);
        relay.poll(MS(5)).start().unwrap()
    });
    for relay in &relays {
        assert!(relay.flush(PATIENCE));
    }
    assert_eq!(table.len(), 0);
    assert!(ids.iter().all(|id| !is_cached(&reader, id)));
}

/// The relay is in another process than the reader, and the writer has died.
#[test]
fn a_near_cache_of_another_process_loses_the_record_too() {
    let server = Server::start();
    let reader: Cache = server.builder().near_cache(10).build().unwrap();
    until(|| reader.stats().tracking_live);
    until(|| reader.get("p-001", load_loaf).unwrap().source() == Source::Near);
    let table = Table::default();
    let cache = other(&server);
    table.insert("test:", "p-001");
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    until(|| reader.get("p-001", load_loaf).unwrap().source() == Source::Loaded);
}

/// Redis is silent for longer than the timeout of a request.
#[test]
fn the_drop_of_a_relay_does_not_wait_for_a_silent_server() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).io_timeout(Duration::from_secs(20));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let table = Table::default();
    let (fetched, has_fetched) = mpsc::channel();
    let outbox = table.outbox_with(move |step| {
        if step == Step::Fetched {
            let _ = fetched.send(());
        }
        Ok(())
    });
    server.freeze();
    table.insert("test:", "p-001");
    let relay = OutboxRelay::builder(outbox).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    has_fetched.recv_timeout(PATIENCE).unwrap();
    let began = std::time::Instant::now();
    drop(relay);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.thaw();
}
