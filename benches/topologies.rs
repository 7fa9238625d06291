//! The cost of calls by topology: a single server by TCP, by its socket, by TLS, and behind
//! sentinels, and a cluster with and without waiting for replicas. (Replicas on the same machine
//! take a share of its cores.)
//!
//! `cargo bench --bench topologies --all-features` starts private servers on loopback ports and
//! prints a table. The calls are interleaved: the speed of a noisy machine changes from second to
//! second, and then all calls of a round are affected alike.

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

use std::{array, cell::RefCell, convert::Infallible, time::Duration};

use cache_aside::{Backend, Cache, Record, Source};
use cluster::Cluster;
use redis::Connection;
use secure::Secure;
use sentinel_set::SentinelSet;
use support::{Server, load_loaf, loaf};
use times::{Call, in_turn, timed, timed_each};

const IDS: usize = 100;
const FEW: usize = 10;
const ROUNDS: usize = 4_000;
/// For a batch, which takes as long as a hundred other calls.
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

struct Place {
    cache: Cache,
    /// A bare connection to the server that has the record. Its speed depends on the core on which
    /// that server runs.
    bare: RefCell<Connection>,
}

impl Place {
    fn new(place: impl Into<Backend>, bare: Connection) -> Place {
        let cache = Cache::builder(place).prefix("test:");
        // The records outlive the measurement.
        let cache = cache.ttl(Duration::from_secs(60 * 60));
        Place {
            cache: cache.build().unwrap(),
            bare: RefCell::new(bare),
        }
    }
}

fn get(cache: &Cache, source: Source) -> Duration {
    timed(|| assert_eq!(cache.get("p", load_loaf).unwrap().source(), source))
}

#[expect(clippy::unnecessary_wraps, reason = "a loader's answer")]
fn load(missing: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    let found = missing.iter().map(|id| ((*id).to_owned(), loaf()));
    Ok(found.collect())
}

/// The median of a call in each topology.
fn at_each(
    places: &[Place; PLACES.len()],
    rounds: usize,
    call: impl Fn(&Place) -> Duration,
) -> [f64; PLACES.len()] {
    let call = &call;
    let calls = places.each_ref();
    in_turn(
        rounds,
        |_| {},
        calls.map(|place| Box::new(move || call(place)) as Call<'_>),
    )
}

/// The medians of hits and of the same bare command. They take turns, because servers move from
/// core to core.
fn hits_beside_bare(
    places: &[Place; PLACES.len()],
    rounds: usize,
) -> ([f64; PLACES.len()], [f64; PLACES.len()]) {
    const BOTH: usize = 2 * PLACES.len();
    // Several in a row, because the first may have to wake an idle server.
    let calls: [Call<'_>; BOTH] = array::from_fn(|at| -> Call<'_> {
        let place = &places[at / 2];
        if at % 2 == 0 {
            Box::new(|| timed_each(10, || _ = get(&place.cache, Source::Hit)))
        } else {
            Box::new(|| timed_each(10, || look(&mut place.bare.borrow_mut())))
        }
    });
    let medians = in_turn(rounds, |_| {}, calls);
    let of = |first| array::from_fn(|at| medians[2 * at + first]);
    (of(0), of(1))
}

fn look(bare: &mut Connection) {
    let look = redis::cmd("HGETALL").arg("test:p").take();
    let found: Vec<(String, String)> = look.query(bare).unwrap();
    assert!(!found.is_empty());
}

fn main() {
    // `cargo test --benches` runs it too.
    let in_earnest = std::env::args().any(|arg| arg == "--bench");
    let of = |rounds| if in_earnest { rounds } else { 2 };

    eprintln!("places: starting 18 servers");
    let (tcp, socket) = (Server::start_on_port(), Server::start());
    let secure = Secure::start();
    let sentinels = SentinelSet::start();
    let cluster = Cluster::start(3, 0);
    let with_replicas = Cluster::start(3, 1);
    let of_nodes = |cluster: &Cluster| cluster.connect("test:p");
    let waiting = with_replicas.redis().wait_for_replicas(1);
    let places = [
        Place::new(tcp.url(), tcp.connect()),
        Place::new(socket.url(), socket.connect()),
        Place::new(secure.redis(), secure.server.connect()),
        Place::new(sentinels.redis(), sentinels.servers[0].connect()),
        Place::new(cluster.redis(), of_nodes(&cluster)),
        Place::new(with_replicas.redis(), of_nodes(&with_replicas)),
        Place::new(waiting, of_nodes(&with_replicas)),
    ];
    let ids: Vec<_> = (0..IDS).map(|id| format!("p-{id:03}")).collect();

    eprintln!("places: measuring, for about a minute");
    let misses = at_each(&places, of(ROUNDS), |Place { cache, .. }| {
        cache.invalidate("p").unwrap();
        get(cache, Source::Loaded)
    });
    let (hits, bare) = hits_beside_bare(&places, of(ROUNDS));
    let invalidations = at_each(&places, of(ROUNDS), |Place { cache, .. }| {
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
    let some = at_each(&places, of(ROUNDS), |place| {
        batch(&place.cache, &ids[..FEW])
    });
    let many = at_each(&places, of(BATCH_ROUNDS), |place| batch(&place.cache, &ids));

    println!(
        "\ninterleaved, medians of {ROUNDS} calls, four-field record; a hit to a bare `HGETALL` on \
         the same server, the others to the same call on one server by TCP:\n"
    );
    println!(
        "| | hit | miss | `invalidate` | `get_many` of {FEW} hits | of {IDS} |\n|---|---:|---:|---:|---:|---:|"
    );
    let first = |row: [f64; PLACES.len()]| (row, [row[0]; PLACES.len()]);
    let others = [misses, invalidations, some, many].map(first);
    let [misses, invalidations, some, many] = others;
    let rows = [(hits, bare), misses, invalidations, some, many];
    for (at, place) in PLACES.iter().enumerate() {
        let cells = rows.map(|(row, to)| {
            let micros = 1e6 * row[at];
            format!(" {:.2} ({micros:.0} µs) |", row[at] / to[at])
        });
        println!("| {place} |{}", cells.concat());
    }
}
