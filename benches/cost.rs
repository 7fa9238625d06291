//! The cost of each call, compared with the same commands by redis-rs on one held connection.
//!
//! `cargo bench` starts a private server on a loopback port, measures each pair with criterion, and
//! ends with a table of ratios. `cargo bench --bench cost -- ratios` prints the table alone. The
//! ratios come from interleaved calls: the speed of a noisy machine changes from second to second,
//! and then all calls of a round are affected alike.

#[path = "support/bare.rs"]
mod bare;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use bare::Bare;
use cache_aside::{Backend, Cache, CacheBuilder, Redis};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group};
use support::{Server, load_loaf};
use times::{Call, in_turn, timed};

/// A cache whose records outlive the measurement.
fn builder(server: impl Into<Backend>) -> CacheBuilder {
    let cache = Cache::builder(server).prefix("test:");
    cache.ttl(Duration::from_secs(60 * 60))
}

fn cache(server: impl Into<Backend>) -> Cache {
    builder(server).build().unwrap()
}

fn hit(cache: &Cache) {
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
}

fn miss(cache: &Cache) {
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), cache_aside::Source::Loaded);
}

fn calls(criterion: &mut Criterion) {
    let server = Server::start_on_port();
    let (cache, mut bare) = (cache(server.url()), Bare::new(&server));
    miss(&cache);

    let mut group = criterion.benchmark_group("hit");
    group.bench_function("bare", |bench| bench.iter(|| bare.hgetall()));
    group.bench_function("cache", |bench| bench.iter(|| hit(&cache)));
    group.finish();

    let mut group = criterion.benchmark_group("update_field");
    group.bench_function("bare", |bench| bench.iter(|| bare.hset()));
    group.bench_function("cache", |bench| {
        bench.iter(|| assert!(cache.update_field("p-001", "stock", "41").unwrap()));
    });
    group.finish();

    let mut group = criterion.benchmark_group("invalidate");
    group.bench_function("bare", |bench| bench.iter(|| bare.del()));
    group.bench_function("cache", |bench| {
        bench.iter(|| cache.invalidate("p-001").unwrap());
    });
    group.finish();

    let invalidated = || cache.invalidate("p-001").unwrap();
    let mut group = criterion.benchmark_group("miss");
    group.bench_function("bare", |bench| {
        bench.iter_batched(invalidated, |_| bare.miss(), BatchSize::PerIteration);
    });
    group.bench_function("cache", |bench| {
        bench.iter_batched(invalidated, |_| miss(&cache), BatchSize::PerIteration);
    });
    group.finish();
}

/// Hits from several threads at once: the time per hit of all threads together.
fn threads(criterion: &mut Criterion) {
    let server = Server::start_on_port();
    let cache = cache(server.url());
    miss(&cache);
    let mut group = criterion.benchmark_group("hits_in_threads");
    for count in [1, 4, 16] {
        group.bench_function(BenchmarkId::new("bare", count), |bench| {
            bench.iter_custom(|hits| {
                together(count, hits, || {
                    let mut bare = Bare::new(&server);
                    move || drop(black_box(bare.hgetall()))
                })
            });
        });
        group.bench_function(BenchmarkId::new("cache", count), |bench| {
            bench.iter_custom(|hits| together(count, hits, || || hit(&cache)));
        });
    }
    group.finish();
}

/// How long `count` threads need for `times` calls together.
fn together<W: FnMut()>(count: u64, times: u64, work: impl Fn() -> W + Sync) -> Duration {
    let start = Barrier::new(usize::try_from(count).unwrap() + 1);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let mut work = work();
                start.wait();
                for _ in 0..times.div_ceil(count) {
                    work();
                }
            });
        }
        start.wait();
        Instant::now()
    })
    .elapsed()
}

/// The table of ratios: every call in turn, many times. Shows the median of each.
fn ratios() {
    const ROUNDS: usize = 20_000;
    let server = Server::start_on_port();
    // A separate connection for each bare call, so that they share no buffers.
    let [mut for_hit, mut for_miss, mut for_del, mut for_hset] =
        [(); 4].map(|()| Bare::new(&server));
    let pool_of_one = cache(Redis::builder(server.url()).pool_size(1));
    let refreshed = builder(server.url()).early_refresh(1.0);
    // Short, so that records filled by the others are not stale.
    let refreshed: Cache = refreshed.grace(Duration::from_secs(1)).build().unwrap();
    let (cache, writer) = (cache(server.url()), cache(server.url()));
    miss(&cache);
    let cold = |call: &mut dyn FnMut()| {
        writer.invalidate("p-001").unwrap();
        timed(call)
    };
    let calls: [(&str, Call<'_>); 10] = [
        (
            "bare HGETALL",
            Box::new(|| timed(|| drop(black_box(for_hit.hgetall())))),
        ),
        ("hit", Box::new(|| timed(|| hit(&cache)))),
        ("hit, pool of one", Box::new(|| timed(|| hit(&pool_of_one)))),
        (
            "hit, early refresh and grace",
            Box::new(|| timed(|| hit(&refreshed))),
        ),
        (
            "bare three steps of a miss",
            Box::new(|| cold(&mut || for_miss.miss())),
        ),
        (
            "miss, instant loader",
            Box::new(|| cold(&mut || miss(&cache))),
        ),
        ("bare HSET", Box::new(|| timed(|| for_hset.hset()))),
        (
            "update_field",
            Box::new(|| timed(|| assert!(cache.update_field("p-001", "stock", "42").unwrap()))),
        ),
        ("bare DEL", Box::new(|| timed(|| for_del.del()))),
        (
            "invalidate",
            Box::new(|| timed(|| assert!(!cache.invalidate("p-001").unwrap()))),
        ),
    ];
    let names = calls.each_ref().map(|(name, _)| *name);
    let medians = in_turn(
        ROUNDS,
        |round| {
            if round % (ROUNDS / 10) == 0 {
                eprint!("\rratios: {} %", 100 * round / ROUNDS);
            }
            // Restores the record for the hits, after the round's invalidations.
            cache.get("p-001", load_loaf).unwrap();
        },
        calls.map(|(_, call)| call),
    );
    eprintln!("\rratios: done");
    println!("\ninterleaved, medians of {ROUNDS} calls, four-field record:\n");
    println!("| call | median | to a bare `HGETALL` |\n|---|---:|---:|");
    for (name, median) in names.into_iter().zip(medians) {
        let ratio = median / medians[0];
        println!("| {name} | {:.1} µs | {ratio:.2} |", median * 1e6);
    }
}

criterion_group!(benches, calls, threads);

fn main() {
    let named: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if named != ["ratios"] {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
    if named.is_empty() || named == ["ratios"] {
        ratios();
    }
}
