//! The cost of a batch, compared with as many single lookups.
//!
//! `cargo bench --bench batch` starts a private server on a loopback port and prints a table. The
//! calls are interleaved: the speed of a noisy machine changes from second to second, and then all
//! calls of a round are affected alike.

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Record, Source};
use support::{Server, load_loaf, loaf};
use times::{Call, in_turn, timed};

const IDS: usize = 100;
const ROUNDS: usize = 500;

#[expect(clippy::unnecessary_wraps, reason = "a loader's answer")]
fn load(missing: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    Ok(missing
        .iter()
        .map(|id| ((*id).to_owned(), loaf()))
        .collect())
}

fn main() {
    // `cargo test --benches` runs it too.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        2
    };
    let server = Server::start_on_port();
    let cache: Cache = Cache::builder(server.url())
        .prefix("test:")
        .ttl(Duration::from_secs(60 * 60))
        .build()
        .unwrap();
    let ids: Vec<_> = (0..IDS).map(|id| format!("p-{id:03}")).collect();
    let mut direct = server.connect();
    let single = |source: Source| {
        for id in &ids {
            assert_eq!(cache.get(id, load_loaf).unwrap().source(), source);
        }
    };
    let batch = |source: Source| {
        let found = cache.get_many(&ids, load).unwrap();
        assert!(found.iter().all(|found| found.source() == source));
    };
    let calls: [Call<'_>; 7] = [
        Box::new(|| timed(|| batch(Source::Loaded))),
        Box::new(|| timed(|| batch(Source::Hit))),
        Box::new(|| {
            timed(|| {
                let mut pipeline = redis::pipe();
                for id in &ids {
                    pipeline.cmd("HGETALL").arg(format!("test:{id}"));
                }
                let found: Vec<Vec<(String, String)>> = pipeline.query(&mut direct).unwrap();
                assert_eq!(found.len(), IDS);
            })
        }),
        Box::new(|| timed(|| single(Source::Hit))),
        Box::new(|| timed(|| assert_eq!(cache.invalidate_many(&ids).unwrap(), IDS as u64))),
        Box::new(|| timed(|| single(Source::Loaded))),
        Box::new(|| {
            timed(|| {
                for id in &ids {
                    assert!(cache.invalidate(id).unwrap());
                }
            })
        }),
    ];
    let medians = in_turn(rounds, |_| {}, calls);
    let [cold, hits, bare, gets, ended, loads, invalidations] = medians;
    println!("\ninterleaved, medians of {rounds} rounds, {IDS} four-field records:\n");
    println!("| call | median | to the single calls |\n|---|---:|---:|");
    for (name, time, singles) in [
        ("100 `get`s, hits", gets, gets),
        ("`get_many` of 100 hits", hits, gets),
        ("bare pipeline of 100 `HGETALL`", bare, gets),
        ("100 `get`s, misses", loads, loads),
        ("`get_many` of 100 misses", cold, loads),
        ("100 `invalidate`s", invalidations, invalidations),
        ("`invalidate_many` of 100", ended, invalidations),
    ] {
        println!(
            "| {name} | {:.0} µs | 1 / {:.1} |",
            1e6 * time,
            singles / time
        );
    }
}
