//! What the calls cost where the server is another one than a single one by TCP: by its socket, by TLS, behind sentinels, and
//! a cluster, whose replicas are waited for or are not. (Replicas that share its cores with the server take their part of them.)
//!
//! `cargo bench --bench places --all-features` starts private servers on loopback ports and prints a table. The calls are
//! interleaved, because a noisy machine shifts everything it runs in one second and nothing that it ran in the second before.

#[path = "../tests/support/cluster.rs"]
mod cluster;
#[path = "../tests/support/secure.rs"]
mod secure;
#[path = "../tests/support/sentinel_set.rs"]
mod sentinel_set;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::{convert::Infallible, time::Duration};

use cache_aside::{Backend, Cache, Record, Source};
use cluster::Cluster;
use secure::Secure;
use sentinel_set::SentinelSet;
use support::{Server, load_loaf, loaf};
use times::{Call, in_turn, timed};

const IDS: usize = 100;
const FEW: usize = 10;
const ROUNDS: usize = 4_000;
/// Of a batch, as long as a hundred of the others.
const BATCH_ROUNDS: usize = 400;

/// In the order of the table.
const PLACES: [&str; 7] = [
    "one server, TCP",
    "… by its socket",
    "… TLS",
    "… with 2 replicas, by sentinels",
    "cluster of 3",
    "… with a replica each",
    "… which is waited for",
];

fn cache(place: impl Into<Backend>) -> Cache {
    let cache = Cache::builder(place).prefix("test:");
    // Records outlive the measurement.
    let cache = cache.ttl(Duration::from_secs(60 * 60));
    cache.build().unwrap()
}

fn get(cache: &Cache, source: Source) -> Duration {
    timed(|| assert_eq!(cache.get("p", load_loaf).unwrap().source(), source))
}

#[expect(clippy::unnecessary_wraps, reason = "a loader's answer")]
fn load(missing: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    let found = missing.iter().map(|id| ((*id).to_owned(), loaf()));
    Ok(found.collect())
}

/// The medians of a call at each place.
fn at_each(
    caches: &[Cache; PLACES.len()],
    rounds: usize,
    call: impl Fn(&Cache) -> Duration,
) -> [f64; PLACES.len()] {
    let call = &call;
    let calls = caches.each_ref();
    in_turn(
        rounds,
        |_| {},
        calls.map(|cache| Box::new(move || call(cache)) as Call<'_>),
    )
}

fn main() {
    // `cargo test --benches` runs it, too.
    let in_earnest = std::env::args().any(|arg| arg == "--bench");
    let of = |rounds| if in_earnest { rounds } else { 2 };

    eprintln!("places: starting 18 servers");
    let (tcp, socket) = (Server::start_on_port(), Server::start());
    let secure = Secure::start();
    let sentinels = SentinelSet::start();
    let cluster = Cluster::start(3, 0);
    let with_replicas = Cluster::start(3, 1);
    let caches = [
        cache(tcp.url()),
        cache(socket.url()),
        cache(secure.redis()),
        cache(sentinels.redis()),
        cache(cluster.redis()),
        cache(with_replicas.redis()),
        cache(with_replicas.redis().wait_for_replicas(1)),
    ];
    let ids: Vec<_> = (0..IDS).map(|id| format!("p-{id:03}")).collect();

    eprintln!("places: measuring, for about a minute");
    let misses = at_each(&caches, of(ROUNDS), |cache| {
        cache.invalidate("p").unwrap();
        get(cache, Source::Loaded)
    });
    let hits = at_each(&caches, of(ROUNDS), |cache| {
        cache.get("p", load_loaf).unwrap();
        get(cache, Source::Hit)
    });
    let invalidations = at_each(&caches, of(ROUNDS), |cache| {
        cache.get("p", load_loaf).unwrap();
        timed(|| assert!(cache.invalidate("p").unwrap()))
    });
    let batch = |cache: &Cache, ids: &[String]| {
        cache.get_many(ids, load).unwrap();
        timed(|| {
            let found = cache.get_many(ids, load).unwrap();
            assert!(found.iter().all(|found| found.source() == Source::Hit));
        })
    };
    let some = at_each(&caches, of(ROUNDS), |cache| batch(cache, &ids[..FEW]));
    let many = at_each(&caches, of(BATCH_ROUNDS), |cache| batch(cache, &ids));

    println!(
        "\ninterleaved, medians of {ROUNDS} calls, four-field record; to the same call on one server by TCP:\n"
    );
    println!(
        "| | hit | miss | `invalidate` | `get_many` of {FEW} hits | of {IDS} |\n|---|---:|---:|---:|---:|---:|"
    );
    let rows = [hits, misses, invalidations, some, many];
    for (at, place) in PLACES.iter().enumerate() {
        let cells = rows.map(|row| {
            let micros = 1e6 * row[at];
            format!(" {:.2} ({micros:.0} µs) |", row[at] / row[0])
        });
        println!("| {place} |{}", cells.concat());
    }
}
