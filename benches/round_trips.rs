//! How long the calls take on slow networks, in round trips.
//!
//! `cargo bench --bench round_trips` prints them. The unit is a `PING` by redis-rs over the same
//! network. The calls are interleaved, and each figure is a median.

#[path = "support/slow_network.rs"]
mod slow_network;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::{
    convert::Infallible,
    env,
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};
use redis::Connection;
use support::{Server, load_loaf, loaf, until};
use times::{median, timed};

const CALLS: [&str; 6] = [
    "`PING`",
    "hit",
    "miss, with a loader that takes no time",
    "`invalidate`",
    "`write`, with a closure that takes no time",
    "miss that waits for another process: from the end of its load",
];

fn main() {
    // `cargo test --benches` only checks that it runs.
    let in_earnest = env::args().any(|arg| arg == "--bench");
    let rounds = if in_earnest { 300 } else { 1 };
    let server = Server::start_on_port();
    let networks = [500, 2_000].map(Duration::from_micros);
    let [near, far] = networks.map(|round_trip| measured(&server, round_trip, rounds));
    println!(
        "\n| call | {:?} | {:?} |\n|---|---:|---:|",
        networks[0], networks[1]
    );
    for (call, (near, far)) in CALLS.iter().zip(near.iter().zip(far)) {
        println!("| {call} | {near:.2} | {far:.2} |");
    }
}

/// The time of each call in round trips.
fn measured(server: &Server, round_trip: Duration, rounds: usize) -> [f64; CALLS.len()] {
    let url = format!(
        "redis://127.0.0.1:{}",
        slow_network::before(server.port(), round_trip)
    );
    let [cache, other] = [(); 2].map(|()| -> Cache {
        let cache = Cache::builder(&*url).prefix("test:").tracking(true);
        cache.build().unwrap()
    });
    until(|| cache.stats().tracking_live && other.stats().tracking_live);
    let mut bare = redis::Client::open(&*url)
        .unwrap()
        .get_connection()
        .unwrap();
    let mut times: [Vec<f64>; CALLS.len()] = Default::default();
    for _ in 0..rounds {
        let ping = timed(|| ping(&mut bare));
        let hit = timed(|| hit(&cache));
        cache.invalidate("missing").unwrap();
        let miss = timed(|| miss(&cache));
        let invalidate = timed(|| assert!(cache.invalidate("missing").unwrap()));
        let write = timed(|| write(&cache));
        let waited = wait(&cache, &other, 4 * round_trip);
        for (times, time) in times.iter_mut().zip([ping, hit, miss, invalidate, write]) {
            times.push(time.as_secs_f64());
        }
        times[5].extend(waited.as_ref().map(Duration::as_secs_f64));
    }
    let medians = times.map(|mut times| {
        if times.is_empty() {
            return f64::NAN;
        }
        median(&mut times)
    });
    medians.map(|median| median / medians[0])
}

fn ping(bare: &mut Connection) {
    redis::cmd("PING").exec(bare).unwrap();
}

fn hit(cache: &Cache) {
    let found = cache.get("cached", load_loaf).unwrap();
    // The first call of all loads.
    assert!(matches!(found.source(), Source::Hit | Source::Loaded));
}

fn miss(cache: &Cache) {
    assert_eq!(
        cache.get("missing", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

fn write(cache: &Cache) {
    let written = cache.write("written", || Ok::<_, Infallible>(())).unwrap();
    assert!(written.invalidation_error().is_none());
}

/// How long after the end of a load a caller has the record who waits for it through another cache,
/// as in another process. The load takes `meanwhile`, and the caller comes when it begins. `None`:
/// the caller came too late.
fn wait(leader: &Cache, waiter: &Cache, meanwhile: Duration) -> Option<Duration> {
    leader.invalidate("waited").unwrap();
    let (loads, ended) = (Barrier::new(2), Mutex::new(Instant::now()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loads.wait();
            let found = waiter.get("waited", load_loaf).unwrap();
            let late = ended.lock().unwrap().elapsed();
            (found.source() == Source::Waited).then_some(late)
        });
        let load = |_: &str| {
            loads.wait();
            thread::sleep(meanwhile);
            *ended.lock().unwrap() = Instant::now();
            Ok::<_, Infallible>(Some(loaf()))
        };
        leader.get("waited", load).unwrap();
        waiting.join().unwrap()
    })
}
