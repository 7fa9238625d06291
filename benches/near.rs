//! The cost of a near hit, compared with a bare `get` of its map and with a hit in Redis. Also the
//! rate of near hits of two threads, and the delay of callers that wait for a load of another
//! process.
//!
//! `cargo bench --bench near` prints all three. The calls are interleaved: the speed of a noisy
//! machine changes from second to second, and then all calls of a round are affected alike. Calls
//! that are too short for the clock are timed a thousand at a time.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    hint::{self, black_box},
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, CacheBuilder, Record, Source};
use support::{Server, load_loaf, loaf, until};

/// Longer than the measurement.
const LONG: Duration = Duration::from_secs(60 * 60);

fn cache(server: &Server, set: impl Fn(CacheBuilder) -> CacheBuilder) -> Cache {
    let cache = Cache::builder(server.url()).prefix("test:").ttl(LONG);
    set(cache).build().unwrap()
}

fn listening(cache: Cache) -> Cache {
    until(|| cache.stats().tracking_live);
    cache
}

/// The time of one call, computed from many.
fn timed(times: u32, mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..times {
        call();
    }
    began.elapsed().as_secs_f64() / f64::from(times)
}

fn median(times: &mut [f64]) -> f64 {
    nth(times, times.len() / 2)
}

fn nth(times: &mut [f64], nth: usize) -> f64 {
    *times.select_nth_unstable_by(nth, f64::total_cmp).1
}

type Bare = quick_cache::sync::Cache<String, Arc<Record>>;

fn ids() -> Vec<String> {
    (0..1000).map(|id| format!("p-{id:03}")).collect()
}

/// Puts all ids into the near cache and a bare map.
fn filled(near: &Cache, ids: &[String]) -> Bare {
    let bare = Bare::new(10_000);
    for id in ids {
        bare.insert(id.clone(), Arc::new(loaf()));
        near.get(id, load_loaf).unwrap();
    }
    // The pushes of the loads themselves may be late.
    until(|| {
        let is_near = |id: &String| near.get(id, load_loaf).unwrap().source() == Source::Near;
        thread::sleep(Duration::from_millis(1));
        ids.iter().all(is_near)
    });
    bare
}

fn hit(cache: &Cache, id: &str, source: Source) {
    let found = cache.get(id, load_loaf).unwrap();
    assert_eq!(black_box(found).source(), source);
}

fn hits() {
    const ROUNDS: usize = 2_000;
    const BRIEF: Duration = Duration::from_millis(1);
    let server = Server::start_on_port();
    let plain = cache(&server, |cache| cache);
    let near = listening(cache(&server, |cache| cache.near_cache(10_000)));
    let brief = cache(&server, |cache| cache.near_cache(10_000).near_ttl(BRIEF));
    let brief = listening(brief);
    let ids = ids();
    let bare = filled(&near, &ids);
    let mut each = ids.iter().cycle();
    let mut id = || each.next().unwrap();
    let mut times: [Vec<f64>; 7] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(1000, || drop(black_box(bare.get(id())))));
        times[1].push(timed(1000, || hit(&near, id(), Source::Near)));
        let hot = &ids[0];
        times[5].push(timed(1000, || drop(black_box(bare.get(hot)))));
        times[6].push(timed(1000, || hit(&near, hot, Source::Near)));
        times[2].push(timed(1000, || {
            black_box(Instant::now());
        }));
        // By now its time in the near cache is over. Both calls follow a pause, which makes them
        // slower.
        thread::sleep(2 * BRIEF);
        times[3].push(timed(1, || hit(&plain, &ids[0], Source::Hit)));
        thread::sleep(2 * BRIEF);
        times[4].push(timed(1, || hit(&brief, &ids[0], Source::Hit)));
    }
    let medians = times.map(|mut times| median(&mut times));
    println!("\ninterleaved, medians of {ROUNDS} rounds, over loopback TCP:\n");
    println!("| call | median | to a bare `get` |\n|---|---:|---:|");
    let [bare, near, clock, hit, miss, hot_bare, hot_near] = medians;
    for (name, median, to) in [
        (
            "bare `quick_cache` get, of 1,000 records in turn",
            bare,
            bare,
        ),
        ("near hit", near, bare),
        ("bare `quick_cache` get, of one record", hot_bare, hot_bare),
        ("near hit", hot_near, hot_bare),
        ("a look at the clock", clock, hot_bare),
        ("hit", hit, bare),
        ("near miss that enters", miss, bare),
    ] {
        println!("| {name} | {:.0} ns | {:.2} |", median * 1e9, median / to);
    }
    println!("\na near hit is {:.0} times as fast as a hit", hit / near);
}

/// The rate of one thread, and of two threads at once. Shows the fastest tenth of all rounds. In
/// the other rounds, one of the threads had no core for some time, so they did not compete.
fn threads() {
    const ROUNDS: usize = 2_000;
    let server = Server::start_on_port();
    let near = listening(cache(&server, |cache| cache.near_cache(10_000)));
    let ids = ids();
    let bare = filled(&near, &ids);
    let bare_get = |id: &String| drop(black_box(bare.get(id)));
    let near_get = |id: &String| hit(&near, id, Source::Near);
    println!(
        "\nthe same in threads, the fastest tenth of {ROUNDS} rounds of 3,000 calls by each:\n\n\
         | | bare: 1 | 2 | speed-up | near: 1 | 2 | speed-up | near to bare: 1 | 2 |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for (name, ids) in [("1,000 records in turn", &*ids), ("one record", &ids[..1])] {
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            for (which, count) in [1, 2].into_iter().enumerate() {
                times[which].push(at_once(count, ids, &bare_get));
                times[2 + which].push(at_once(count, ids, &near_get));
            }
        }
        let [bare, bare_both, near, near_both] =
            times.map(|mut times| 1e9 * nth(&mut times, ROUNDS / 10));
        println!(
            "| {name} | {bare:.0} ns | {bare_both:.0} ns | {:.2} | {near:.0} ns | {near_both:.0} ns | {:.2} | {:.2} | {:.2} |",
            2.0 * bare / bare_both,
            2.0 * near / near_both,
            near / bare,
            near_both / bare_both,
        );
    }
}

/// The time of a call when this many threads call at once. It counts from the moment when the last
/// thread begins until the last has ended.
fn at_once(threads: u32, ids: &[String], call: &(impl Fn(&String) + Sync)) -> f64 {
    const CALLS: u16 = 3_000;
    let here = AtomicU32::new(0);
    let began = OnceLock::new();
    let calls = || {
        if here.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            began.set(Instant::now()).expect("there is one last");
        }
        // Spins instead of sleeping: a wake-up takes longer than some of the calls.
        while began.get().is_none() {
            hint::spin_loop();
        }
        ids.iter().cycle().take(CALLS.into()).for_each(call);
        Instant::now()
    };
    let ended = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(calls)).collect();
        all.into_iter().map(|each| each.join().unwrap()).max()
    });
    let elapsed = ended.unwrap() - *began.get().unwrap();
    elapsed.as_secs_f64() / f64::from(CALLS)
}

/// One process loads for 20 ms, three wait.
fn waits() {
    const ROUNDS: usize = 400;
    println!(
        "\nhow late those are who wait for a load of another process, of {} answers:\n",
        3 * ROUNDS
    );
    println!("| | median | 99 % within |\n|---|---:|---:|");
    for (name, on) in [("polling", false), ("woken", true)] {
        let server = Server::start_on_port();
        let all = [(); 4].map(|()| {
            let cache = cache(&server, |cache| cache.tracking(on));
            if on { listening(cache) } else { cache }
        });
        let (leader, waiters) = all.split_first().unwrap();
        let mut late: Vec<_> = (0..ROUNDS).flat_map(|_| round(leader, waiters)).collect();
        late.sort();
        let at = |share: usize| late[(late.len() * share / 1000).min(late.len() - 1)];
        println!("| {name} | {:.2?} | {:.2?} |", at(500), at(990));
    }
}

fn round(leader: &Cache, waiters: &[Cache]) -> Vec<Duration> {
    leader.invalidate("k").unwrap();
    let loads = Barrier::new(waiters.len() + 1);
    let ended = Mutex::new(Instant::now());
    thread::scope(|scope| {
        let waiting: Vec<_> = waiters
            .iter()
            .map(|waiter| {
                scope.spawn(|| {
                    loads.wait();
                    let found = waiter.get("k", load_loaf).unwrap();
                    let late = ended.lock().unwrap().elapsed();
                    // A caller that came after the load has not waited.
                    (found.source() == Source::Waited).then_some(late)
                })
            })
            .collect();
        let load = |_: &str| {
            loads.wait();
            thread::sleep(Duration::from_millis(20));
            *ended.lock().unwrap() = Instant::now();
            Ok::<_, Infallible>(Some(loaf()))
        };
        leader.get("k", load).unwrap();
        waiting
            .into_iter()
            .filter_map(|waiter| waiter.join().unwrap())
            .collect()
    })
}

fn main() {
    hits();
    threads();
    waits();
}
