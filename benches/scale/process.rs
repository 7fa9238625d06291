//! The cost of a cache for its own process: the processor time of its threads, from the kernel.

use std::{convert::Infallible, fs, hint::black_box, thread, time::Duration};

use cache_aside::{Cache, Source};
use redis::Connection;

use crate::{
    Effort,
    meter::{Meter, least},
    patient,
    support::{Server, load_loaf, loaf, until},
};

/// The kernel keeps no more of the name of a thread.
const LISTENER: &str = "cache-aside-lis";

/// In µs of the process.
pub(crate) struct Process {
    pub(crate) hit: f64,
    pub(crate) near_hit: f64,
    /// For one change, alone and among a hundred.
    pub(crate) push: f64,
    pub(crate) push_of_hundred: f64,
}

/// The cost of keeping near caches live for a second, in µs, without changes.
pub(crate) struct Heartbeat {
    pub(crate) server: f64,
    pub(crate) process: f64,
    /// `PING`s a second.
    pub(crate) pings: f64,
}

pub(crate) fn process(effort: Effort, done: impl Fn()) -> Process {
    let server = Server::start_on_port();
    let mut direct = server.connect();
    let ids = if effort.in_earnest { 2_000 } else { 200 };
    let ids: Vec<_> = (0..ids).map(|number| format!("p-{number:07}")).collect();
    put(&mut direct, &ids);
    let plain: Cache = patient::cache(&server).build().unwrap();
    let near: Cache = patient::cache(&server)
        .near_staleness(patient::PATIENCE)
        .near_cache(10_000)
        .build()
        .unwrap();
    until(|| near.stats().tracking_live);
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..effort.rounds(5) {
        // Earlier pushes have arrived by then; otherwise a second read would not be a near hit.
        until(|| {
            let is_near = |id: &str| near.get(id, load_loaf).unwrap().source() == Source::Near;
            ids.iter().filter(|id| !is_near(id)).count() == 0
        });
        all[0].push(of_this_thread(&ids, &plain, Source::Hit));
        all[1].push(of_this_thread(&ids, &near, Source::Near));
        let (one, hundred) = ids.split_at(ids.len() / 10);
        all[2].push(heard(&near, one, 1, &mut direct));
        all[3].push(heard(&near, hundred, 100, &mut direct));
        done();
    }
    let [hit, near_hit, push, push_of_hundred] = all.map(|rounds| least(&rounds));
    Process {
        hit,
        near_hit,
        push,
        push_of_hundred,
    }
}

/// Writes as any program would.
fn put(direct: &mut Connection, ids: &[String]) {
    let record = loaf();
    let fields: Vec<_> = record.iter().collect();
    let mut pipeline = redis::pipe();
    for id in ids {
        pipeline
            .hset_multiple(format!("test:{id}"), &fields)
            .ignore();
        pipeline.pexpire(format!("test:{id}"), 3_600_000).ignore();
    }
    pipeline.exec(direct).unwrap();
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn of_this_thread(ids: &[String], cache: &Cache, source: Source) -> f64 {
    let before = this_thread_ran();
    for id in ids.iter().cycle().take(10 * ids.len()) {
        let found = cache.get(id, |_| Ok::<_, Infallible>(Some(loaf())));
        assert_eq!(black_box(found).unwrap().source(), source);
    }
    (this_thread_ran() - before) / (10 * ids.len()) as f64
}

fn this_thread_ran() -> f64 {
    // The kernel updates it when the thread pauses.
    thread::sleep(Duration::from_millis(1));
    ran("/proc/thread-self")
}

/// What it costs the listener to hear that all these have changed, so many in a turn of the
/// server's. Each was near, and all of a turn have been heard before the next: else a listener who
/// was late would read several turns at once, for less.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn heard(near: &Cache, ids: &[String], in_a_turn: usize, direct: &mut Connection) -> f64 {
    let before = listeners_ran();
    for ids in ids.chunks(in_a_turn) {
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.hset(format!("test:{id}"), "stock", "41").ignore();
        }
        pipeline.exec(direct).unwrap();
        let last = ids.last().expect("a chunk is not empty");
        // It was near, so it isn't until it has been evicted, which those before it in the push
        // were by then, too.
        until(|| near.get(last, load_loaf).unwrap().source() == Source::Hit);
    }
    (listeners_ran() - before) / ids.len() as f64
}

/// Fifty near caches, of which each has a connection and a thread as if it were alone in its
/// process.
pub(crate) fn heartbeat(effort: Effort, done: impl Fn()) -> Heartbeat {
    let count: u16 = if effort.in_earnest { 50 } else { 2 };
    let length = Duration::from_millis(if effort.in_earnest { 4_000 } else { 300 });
    let server = Server::start_on_port();
    let mut meter = Meter::new(&server);
    let idle = meter.spent(|| thread::sleep(length));
    let redis = patient::pool(&server, 16);
    let all: Vec<Cache> = (0..count)
        .map(|_| patient::on(&redis).near_cache(10).build().unwrap())
        .collect();
    until(|| all.iter().all(|cache| cache.stats().tracking_live));
    let before = listeners_ran();
    let spent = meter.spent(|| thread::sleep(length));
    let process = listeners_ran() - before;
    done();
    let of_one = 1.0 / f64::from(count) / spent.wall;
    Heartbeat {
        server: (spent.cpu - idle.cpu).max(0.0) * of_one,
        process: process * of_one,
        pings: spent.command("ping").0 * of_one,
    }
}

fn listeners_ran() -> f64 {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let name = |path: &str| fs::read_to_string(format!("{path}/comm")).unwrap_or_default();
    tasks
        .map(|task| task.path().display().to_string())
        .filter(|path| name(path).trim() == LISTENER)
        .map(|path| ran(&path))
        .sum()
}

/// How long a thread has run, in µs; 0 where `/proc` doesn't say.
fn ran(thread: &str) -> f64 {
    let said = fs::read_to_string(format!("{thread}/schedstat")).unwrap_or_default();
    let nanos = said
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    nanos.unwrap_or_default() / 1e3
}
