//! Requests that were in progress when the server stopped.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Record, Redis, Source};
use redis::Connection;

use super::{environment::TIMEOUT, table::SILENCE};
use crate::support::{Server, chain, free_port, load_loaf, loaf, until};

fn cache(server: &Server, pool_size: u32, io_timeout: Duration) -> Cache {
    let redis = Redis::builder(server.url())
        .pool_size(pool_size)
        .io_timeout(io_timeout)
        .probe_interval(Duration::from_millis(50));
    Cache::builder(redis).prefix("test:").build().unwrap()
}

/// The ids of the server's connections, except the one that asks.
fn connections(direct: &mut Connection) -> BTreeSet<u64> {
    let own: u64 = redis::cmd("CLIENT").arg("ID").query(direct).unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query(direct).unwrap();
    let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    list.lines()
        .filter_map(id)
        .filter(|id| *id != own)
        .collect()
}

#[test]
fn the_32_mib_write_that_times_out_in_the_middle_leaves_no_broken_connection_in_use() {
    let server = Server::start_on_port();
    // A working server takes a while to read 32 MiB.
    let timeout = Duration::from_millis(500);
    let cache = cache(&server, 1, timeout);
    let mut direct = server.connect();
    cache.get("p-001", load_loaf).unwrap();
    let before = connections(&mut direct);
    assert_eq!(before.len(), 1);

    let large = Record::from([("text", "x".repeat(32 << 20))]);
    let began = Instant::now();
    let found = cache.get("large", |_| {
        server.freeze();
        Ok::<_, Infallible>(Some(large.clone()))
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    // The kernel takes one part, and then more. Each part has its own timeout.
    assert!(began.elapsed() < 10 * timeout, "{:?}", began.elapsed());
    server.thaw();

    // Perhaps degraded at first, but never wrong.
    until(|| {
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(**found.record().unwrap(), loaf());
        found.is_hit()
    });
    until(|| connections(&mut server.connect()).is_disjoint(&before));
    // The server has read a part of the fill, and ignored it. The lease still exists.
    until(|| cache.invalidate("large").is_ok_and(|was_there| !was_there));
    until(|| {
        let found = cache.get("large", |_| Ok::<_, Infallible>(Some(large.clone())));
        let found = found.unwrap();
        assert!(**found.record().unwrap() == large);
        found.is_hit()
    });
}

/// The requests of a batch are sent together and answered one by one. The first timeout is enough.
#[test]
fn a_batch_that_a_silent_server_does_not_answer_is_given_up_after_one_timeout() {
    let server = Server::start_on_port();
    let cache = cache(&server, 4, TIMEOUT);
    let nobody = free_port().to_string();
    let demote = ["127.0.0.1", &nobody];
    let mut direct = server.connect();
    redis::cmd("REPLICAOF")
        .arg(&demote)
        .exec(&mut direct)
        .unwrap();
    // Pending, and replayed together.
    for id in 0..100 {
        cache.invalidate(&id.to_string()).unwrap_err();
    }
    server.freeze();
    // Longer than the pause between two replays: one is in progress.
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    let began = Instant::now();
    // Joins the thread that replays.
    drop(cache);
    assert!(began.elapsed() < 10 * TIMEOUT, "{:?}", began.elapsed());
    server.thaw();
}

#[test]
fn a_start_before_a_silent_server_takes_one_timeout() {
    let server = Server::start_on_port();
    server.freeze();
    let redis = Redis::builder(server.url())
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT);
    let began = Instant::now();
    assert!(redis.clone().build().is_ok());
    assert!(began.elapsed() < 5 * TIMEOUT, "{:?}", began.elapsed());
    let began = Instant::now();
    let required = redis.require_connection(true).build();
    assert_eq!(
        required.unwrap_err().to_string(),
        format!(
            "request `connect` to 127.0.0.1:{} failed: {SILENCE}",
            server.port()
        )
    );
    assert!(began.elapsed() < 5 * TIMEOUT, "{:?}", began.elapsed());
    server.thaw();
}
