//! The allocations of a lookup, compared with the bare call of redis-rs.
//!
//! `cargo bench --bench allocations` prints them. They are counted on the calling thread, as the
//! median of several calls after a warm-up: a buffer that grows once is no cost of each call.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{hint::black_box, time::Duration};

use allocation_counter::measure;
use cache_aside::{Cache, Source};
use redis::{Connection, cmd, pipe};
use support::{Server, load_loaf, loaf, until};

const PREFIX: &str = "test:";
const MANY: usize = 100;

type Hash = Vec<(String, String)>;

/// Prints how often a call allocates, and returns it.
fn row(name: &str, mut call: impl FnMut()) -> u64 {
    const WARM: usize = 20;
    const CALLS: usize = 101;
    let mut counts: Vec<_> = (0..WARM + CALLS)
        .map(|_| measure(&mut call))
        .map(|info| (info.count_total, info.bytes_total))
        .skip(WARM)
        .collect();
    counts.sort_unstable();
    let (count, bytes) = counts[CALLS / 2];
    println!("| {name} | {count} | {bytes} |");
    count
}

fn key(nth: usize) -> String {
    format!("{PREFIX}p-{nth:03}")
}

fn bare(connection: &mut Connection) {
    let hit = key(0);
    row("bare `HGETALL`", || {
        let record: Hash = cmd("HGETALL").arg(&hit).query(connection).unwrap();
        assert!(!black_box(record).is_empty());
    });
    row("bare `HGETALL` of what is not there", || {
        let record: Hash = cmd("HGETALL").arg("nothing").query(connection).unwrap();
        assert!(black_box(record).is_empty());
    });
    let keys: Vec<_> = (0..MANY).map(key).collect();
    row("bare pipeline of 100", || {
        let mut all = pipe();
        for key in &keys {
            all.cmd("HGETALL").arg(key);
        }
        let records: Vec<Hash> = all.query(connection).unwrap();
        assert_eq!(black_box(records).len(), MANY);
    });
}

fn get(cache: &Cache, id: &str, source: Source) {
    let found = cache.get(id, load_loaf).unwrap();
    assert_eq!(black_box(found).source(), source);
}

fn main() {
    let server = Server::start_on_port();
    let ttl = Duration::from_secs(60 * 60);
    let builder = || Cache::builder(server.url()).prefix(PREFIX).ttl(ttl);
    let plain: Cache = builder().build().unwrap();
    let with_ttl: Cache = builder().early_refresh(1.0).build().unwrap();
    let near: Cache = builder().near_cache(10_000).build().unwrap();
    until(|| near.stats().tracking_live);
    let ids: Vec<_> = (0..MANY).map(|nth| format!("p-{nth:03}")).collect();
    let load_all = |missing: &[&str]| {
        let loaded = missing.iter().map(|id| ((*id).to_owned(), loaf()));
        Ok::<_, std::convert::Infallible>(loaded.collect::<Vec<_>>())
    };
    plain.get_many(&ids, load_all).unwrap();
    until(|| near.get(&ids[0], load_loaf).unwrap().source() == Source::Near);

    println!("\nof a record of four fields:\n\n| call | allocations | bytes |\n|---|---:|---:|");
    bare(&mut server.connect());
    let near_hit = row("near hit", || get(&near, &ids[0], Source::Near));
    assert_eq!(near_hit, 0);
    near.get(7, load_loaf).unwrap();
    until(|| near.get(7, load_loaf).unwrap().source() == Source::Near);
    let of_an_integer = row("near hit, with an integer as the id", || {
        let found = near.get(7, load_loaf).unwrap();
        assert_eq!(black_box(found).source(), Source::Near);
    });
    assert_eq!(of_an_integer, 0);
    row("hit", || get(&plain, &ids[0], Source::Hit));
    row("hit, with `early_refresh`", || {
        get(&with_ttl, &ids[0], Source::Hit);
    });
    row("miss that loads, and its invalidation", || {
        plain.invalidate("k").unwrap();
        get(&plain, "k", Source::Loaded);
    });
    row("`get_many` of 100 hits", || {
        let found = plain.get_many(&ids, load_all).unwrap();
        assert!(black_box(found).iter().all(cache_aside::Lookup::is_hit));
    });
}
