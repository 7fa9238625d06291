//! What a batch costs, as the server counts it.

use redis::Connection;

use super::*;
use crate::support::Server;

/// How often the server has read from a connection: once for each round trip, and once for this
/// request.
fn reads(direct: &mut Connection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("stats").query(direct).unwrap();
    let line = "total_reads_processed:";
    let count = stats.lines().find_map(|stat| stat.strip_prefix(line));
    count.unwrap().parse().unwrap()
}

#[test]
fn a_batch_of_hits_is_one_round_trip_and_one_with_misses_is_three() {
    const IDS: usize = 100;
    let server = Server::start();
    let mut direct = server.connect();
    let cache = server.cache();
    cache.ttl_remaining("warm").unwrap();
    let mut round_trips = |work: &mut dyn FnMut()| {
        let before = reads(&mut direct);
        work();
        reads(&mut direct) - before - 1
    };
    let ids = names(IDS);
    let mut get = || drop(cache.get_many(&ids, rows("1")).unwrap());
    // The requests for the leases take more than the server reads at once.
    let lease = 3 + IDS as u64 * 200 / (16 << 10);
    let cold = round_trips(&mut get);
    assert!((3..=2 * lease).contains(&cold), "{cold}");
    assert_eq!(round_trips(&mut get), 1);
    let few = || drop(cache.get_many(["x", "0", "y", "1"], rows("1")).unwrap());
    assert_eq!(round_trips(&mut { few }), 3);
    let none = || {
        let nothing = |_: &[&str]| Ok::<_, Infallible>(Rows::new());
        cache.get_many(["no", "such", "0"], nothing).unwrap();
    };
    assert_eq!(round_trips(&mut { none }), 3);
    let some = || {
        let load = |_: &[&str]| rows("1")(&["some"]);
        cache.get_many(["no", "some", "0"], load).unwrap();
    };
    assert_eq!(round_trips(&mut { some }), 3);
    let peek = || drop(cache.peek_many(["x", "y", "no"]).unwrap());
    assert_eq!(round_trips(&mut { peek }), 1);
    let end = || assert_eq!(cache.invalidate_many(["x", "y", "no"]).unwrap(), 2);
    assert_eq!(round_trips(&mut { end }), 1);
}

#[test]
fn a_server_that_forgot_the_scripts_gets_them_again() {
    let server = Server::start();
    let grace = Duration::from_secs(600);
    let cache: Cache = server.builder().grace(grace).build().unwrap();
    let flush = || {
        let mut direct = server.connect();
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut direct).unwrap();
    };
    flush();
    let load = |missing: &[&str]| {
        flush();
        rows("1")(missing)
    };
    cache.get_many(["a", "b"], load).unwrap();
    flush();
    assert_eq!(cache.expire_many(["a", "b"]).unwrap(), 2);
    flush();
    assert_eq!(cache.invalidate_many(["a", "b"]).unwrap(), 2);
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn both_protocols_of_redis_carry_batches() {
    let server = Server::start();
    for version in ["resp2", "resp3"] {
        let cache = cache(&*server.url_with(&format!("protocol={version}")));
        let ids = ["a", "b", "c"];
        cache.get_many(ids, rows("1")).unwrap();
        assert_are(&cache.get_many(ids, never).unwrap(), &ids);
        assert_eq!(cache.clear().unwrap(), 3);
    }
}

/// Requests and replies are both larger than the buffers in between. A client that sends all of it
/// before it reads would wait for ever.
#[test]
fn a_large_batch_passes_through_a_wire_that_carries_one_way_at_a_time() {
    let server = Server::start_on_port();
    let proxy = crate::proxy::Proxy::before(server.port());
    let patient = Redis::builder(proxy.url()).io_timeout(Duration::from_secs(20));
    let cache: Cache = patient_cache(patient);
    let long = "y".repeat(2_000);
    let ids: Vec<_> = (0..3_000).map(|id| format!("{id} {long}")).collect();
    let load = |missing: &[&str]| {
        let large = "x".repeat(10_000);
        let row = |id: &&str| {
            let record = Record::from([("id", *id), ("photo", &large)]);
            ((*id).to_owned(), record)
        };
        Ok::<_, Infallible>(missing.iter().map(row).collect::<Rows>())
    };
    assert_are(&cache.get_many(&ids, load).unwrap(), &ids);
    assert_are(&cache.get_many(&ids, never).unwrap(), &ids);
    assert_eq!(cache.stats().store_errors, 0);
}
