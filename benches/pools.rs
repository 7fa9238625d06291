//! Hits a second of many threads, by the size of the pool, on a near network and on slower ones.
//!
//! `cargo bench --bench pools` prints a table of each network. The sizes are measured in turn, and
//! each figure is the median of the rounds.

#[path = "support/slow_network.rs"]
mod slow_network;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis};
use support::{Server, load_loaf};

const THREADS: [usize; 4] = [4, 16, 64, 128];
const SIZES: [u32; 4] = [2, 4, 16, 128];
const LONG: Duration = Duration::from_secs(60 * 60);
/// No caller times out, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    // `cargo test --benches` only checks that it runs.
    let in_earnest = env::args().any(|arg| arg == "--bench");
    let (rounds, stretch) = if in_earnest {
        (5, Duration::from_millis(500))
    } else {
        (1, Duration::from_millis(10))
    };
    let server = Server::start_on_port();
    for round_trip in [0, 500, 2_000].map(Duration::from_micros) {
        println!("\na round trip of {round_trip:?} and the server's:\n");
        println!(
            "| threads | {} |",
            SIZES.map(|size| format!("{size} connections")).join(" | ")
        );
        println!("|---:|{}", "---:|".repeat(SIZES.len()));
        for threads in THREADS {
            let caches = SIZES.map(|size| cache(&server, size, round_trip));
            let mut all = SIZES.map(|_| Vec::new());
            for _ in 0..rounds {
                for (cache, figures) in caches.iter().zip(&mut all) {
                    figures.push(hits(cache, threads, stretch));
                }
            }
            let cells = all.map(show);
            println!("| {threads} | {} |", cells.join(" | "));
        }
    }
}

/// Hits a second, and the time within which 99 of 100 return.
struct Figures {
    rate: f64,
    p99: Duration,
}

fn show(mut rounds: Vec<Figures>) -> String {
    let middle = rounds.len() / 2;
    rounds.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let rate = rounds[middle].rate;
    rounds.sort_by_key(|round| round.p99);
    format!(
        "{rate:.0} · {:.2} ms",
        1e3 * rounds[middle].p99.as_secs_f64()
    )
}

fn cache(server: &Server, size: u32, round_trip: Duration) -> Cache {
    let port = match round_trip {
        Duration::ZERO => server.port(),
        round_trip => slow_network::before(server.port(), round_trip),
    };
    let redis = Redis::builder(format!("redis://127.0.0.1:{port}"))
        .pool_size(size)
        .checkout_timeout(PATIENCE)
        .io_timeout(PATIENCE);
    let cache: Cache = Cache::builder(redis)
        .prefix("test:")
        .ttl(LONG)
        .build()
        .unwrap();
    for id in ids() {
        cache.get(id, load_loaf).unwrap();
    }
    cache
}

/// Many, because lookups of one record at the same time share its answer.
fn ids() -> impl Iterator<Item = u32> + Clone {
    0..1_000
}

fn hits(cache: &Cache, threads: usize, stretch: Duration) -> Figures {
    let (start, is_over) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let (took, times) = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (start, is_over) = (&start, &is_over);
                // Each thread begins elsewhere.
                let mut ids = ids().cycle().skip(7 * thread);
                scope.spawn(move || {
                    let mut times = Vec::new();
                    start.wait();
                    while !is_over.load(Relaxed) {
                        let id = ids.next().expect("it is a cycle");
                        let began = Instant::now();
                        assert!(cache.get(id, load_loaf).unwrap().is_hit());
                        times.push(began.elapsed());
                    }
                    times
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        thread::sleep(stretch);
        is_over.store(true, Relaxed);
        let times: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect();
        (began.elapsed(), times)
    });
    let mut times = times.concat();
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let rate = times.len() as f64 / took.as_secs_f64();
    Figures {
        rate,
        p99: times[times.len() * 99 / 100],
    }
}
