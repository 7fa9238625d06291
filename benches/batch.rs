//! What a batch costs beside as many single lookups.
//!
//! `cargo bench --bench batch` starts a private server on a loopback port and prints a table. The calls are interleaved,
//! because a noisy machine shifts everything it runs in one second and nothing that it ran in the second before.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Record, Source};
use support::{Server, load_loaf, loaf};

const IDS: usize = 100;
const ROUNDS: usize = 500;

fn timed(call: impl FnOnce()) -> Duration {
    let began = Instant::now();
    call();
    began.elapsed()
}

#[expect(clippy::unnecessary_wraps, reason = "a loader's answer")]
fn load(missing: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    Ok(missing
        .iter()
        .map(|id| ((*id).to_owned(), loaf()))
        .collect())
}

fn main() {
    // `cargo test --benches` runs it, too.
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
    let mut times = [const { Vec::new() }; 7];
    for _ in 0..rounds {
        let calls: [&mut dyn FnMut(); 7] = [
            &mut || batch(Source::Loaded),
            &mut || batch(Source::Hit),
            &mut || {
                let mut pipeline = redis::pipe();
                for id in &ids {
                    pipeline.cmd("HGETALL").arg(format!("test:{id}"));
                }
                let found: Vec<Vec<(String, String)>> = pipeline.query(&mut direct).unwrap();
                assert_eq!(found.len(), IDS);
            },
            &mut || single(Source::Hit),
            &mut || assert_eq!(cache.invalidate_many(&ids).unwrap(), IDS as u64),
            &mut || single(Source::Loaded),
            &mut || {
                for id in &ids {
                    assert!(cache.invalidate(id).unwrap());
                }
            },
        ];
        for (call, times) in calls.into_iter().zip(&mut times) {
            times.push(timed(call));
        }
    }
    let medians = times.map(|mut times| {
        let middle = times.len() / 2;
        times.select_nth_unstable(middle).1.as_secs_f64()
    });
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
