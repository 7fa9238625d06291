//! One connection breaks, and others work. Those who share the broken one, and those who use the
//! others, get their answers.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Lookup, Record, Redis, Source};

use crate::{
    relay::{Break, Relay},
    support::{Server, until},
};

/// The reply with this record breaks.
const POISON: &str = "poison";

/// What only that record contains.
const MARK: &str = "breaks-here";

/// No call should wait for a timeout.
const NEVER: Duration = Duration::from_secs(5);

const POOL: u32 = 4;

fn cache(relay: &Relay) -> Cache {
    let redis = Redis::builder(relay.url())
        .pool_size(POOL)
        .checkout_timeout(NEVER)
        .connect_timeout(NEVER)
        .io_timeout(NEVER);
    Cache::builder(redis).prefix("test:").build().unwrap()
}

fn record(id: &str) -> Record {
    let name = if id == POISON { MARK } else { "Sourdough Loaf" };
    Record::from([("id", id), ("name", name)])
}

fn find(cache: &Cache, id: &str) -> Lookup<Record> {
    let found = cache.get(id, |id| Ok::<_, Infallible>(Some(record(id))));
    let found = found.unwrap();
    assert_eq!(**found.record().unwrap(), record(id), "another's record");
    found
}

fn id(number: usize) -> String {
    format!("p-{number:03}")
}

/// Uses as many connections as the pool has, at the same time.
pub(crate) fn use_all_connections(cache: &Cache, count: u32) {
    let all = Barrier::new(count as usize);
    thread::scope(|scope| {
        for number in 0..count {
            let all = &all;
            scope.spawn(move || {
                let id = format!("held-{number}");
                find(cache, &id);
                // A conflict calls the closure again.
                let mut waits = true;
                cache
                    .update(&id, |_| {
                        if std::mem::take(&mut waits) {
                            all.wait();
                        }
                        None
                    })
                    .unwrap();
            });
        }
    });
}

/// The ids of the server's connections.
fn connections(server: &Server) -> BTreeSet<u64> {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut server.connect())
        .unwrap();
    let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    list.lines().filter_map(id).collect()
}

/// 63 threads read on four connections, and one thread reads the record whose reply breaks.
fn read_beside(how: Break) {
    const READERS: usize = 63;
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = cache(&relay);
    for id in (0..READERS).map(id).chain([POISON.into()]) {
        find(&cache, &id);
    }
    relay.break_replies(MARK.as_bytes(), how);
    let (is_over, hits, degraded) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let begin = Barrier::new(READERS + 1);
    thread::scope(|scope| {
        for number in 0..READERS {
            let (cache, begin, is_over, hits, degraded) =
                (&cache, &begin, &is_over, &hits, &degraded);
            scope.spawn(move || {
                begin.wait();
                while !is_over.load(SeqCst) {
                    match find(cache, &id(number)).source() {
                        Source::Hit => hits.fetch_add(1, SeqCst),
                        _ => degraded.fetch_add(1, SeqCst),
                    };
                }
            });
        }
        begin.wait();
        for _ in 0..30 {
            let before = hits.load(SeqCst);
            assert_eq!(find(&cache, POISON).source(), Source::Degraded);
            until(|| hits.load(SeqCst) > before + READERS);
        }
        is_over.store(true, SeqCst);
    });
    let (hits, degraded) = (hits.into_inner(), degraded.into_inner());
    println!("{how:?}: {hits} hits beside the record whose reply breaks, {degraded} degraded");
    assert_eq!(degraded, 0);
    relay.spare();
    assert_eq!(find(&cache, POISON).source(), Source::Hit);
}

#[test]
fn a_reply_that_is_cut_costs_no_other_reader_an_answer() {
    read_beside(Break::Cut);
}

#[test]
fn a_reply_that_does_not_parse_costs_no_other_reader_an_answer() {
    read_beside(Break::Garble);
}

/// Wherever it is in the batch, and whether the batch also asks for the TTLs.
#[test]
fn a_reply_that_breaks_costs_no_other_record_of_its_batch_an_answer() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let plain = cache(&relay);
    let redis = Redis::builder(relay.url()).io_timeout(NEVER);
    let graced = Cache::builder(redis).prefix("test:").grace(NEVER);
    let graced: Cache = graced.build().unwrap();
    let load = |missing: &[&str]| {
        let records = missing.iter().map(|id| ((*id).to_owned(), record(id)));
        Ok::<_, Infallible>(records.collect::<Vec<_>>())
    };
    for (how, cache) in [Break::Cut, Break::Garble]
        .into_iter()
        .flat_map(|how| [(how, &plain), (how, &graced)])
    {
        for place in [0, 1, 50, 99] {
            let mut ids: Vec<_> = (0..99).map(id).collect();
            ids.insert(place, POISON.to_owned());
            relay.spare();
            cache.get_many(&ids, load).unwrap();
            relay.break_replies(MARK.as_bytes(), how);
            let found = cache.get_many(&ids, load).unwrap();
            for (id, found) in ids.iter().zip(&found) {
                assert_eq!(**found.record().unwrap(), record(id), "another's record");
                let expected = if id == POISON {
                    Source::Degraded
                } else {
                    Source::Hit
                };
                assert_eq!(found.source(), expected, "{how:?} at {place}: {id}");
            }
        }
    }
}

#[test]
fn a_connection_that_is_cut_leaves_the_others_of_its_pool_open() {
    for how in [Break::Cut, Break::Garble] {
        let server = Server::start_on_port();
        let relay = Relay::before(server.port());
        let cache = cache(&relay);
        find(&cache, POISON);
        use_all_connections(&cache, POOL);
        let before = connections(&server);
        relay.break_reply(MARK.as_bytes(), how);
        assert_eq!(find(&cache, POISON).source(), Source::Hit, "{how:?}");
        use_all_connections(&cache, POOL);
        let after = connections(&server);
        let kept = before.intersection(&after).count();
        assert!(kept >= POOL as usize - 1, "{how:?}: {kept} connections");
    }
}

/// A full server refuses new connections.
#[test]
fn a_connection_that_is_cut_before_a_full_server_leaves_the_others_in_use() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = cache(&relay);
    find(&cache, POISON);
    use_all_connections(&cache, POOL);
    let mut direct = server.connect();
    let mut limit = redis::cmd("CONFIG");
    // Only the connection that sends this.
    limit.arg("SET").arg("maxclients").arg(1);
    limit.exec(&mut direct).unwrap();
    relay.break_reply(MARK.as_bytes(), Break::Cut);
    assert_eq!(find(&cache, POISON).source(), Source::Hit);
    for number in 0..POOL * 4 {
        let id = format!("held-{}", number % POOL);
        assert_eq!(find(&cache, &id).source(), Source::Hit);
    }
}

/// As when a server or a load balancer restarts.
#[test]
fn connections_that_are_all_cut_do_not_fail_one_after_the_other() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = cache(&relay);
    find(&cache, "p-001");
    for _ in 0..3 {
        use_all_connections(&cache, POOL);
        relay.cut_connections();
        for _ in 0..2 * POOL {
            assert_eq!(find(&cache, "p-001").source(), Source::Hit);
        }
    }
    assert_eq!(cache.stats().store_errors, 0);
}
