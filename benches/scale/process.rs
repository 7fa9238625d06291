//! The cost of a cache for its own process: the processor time of its threads, from the kernel.

use std::{convert::Infallible, fs, hint::black_box, slice, thread, time::Duration};

use cache_aside::{Cache, Source};
use redis::Connection;

use crate::{
    Effort,
    cluster::Cluster,
    meter::{Meter, Spent, least},
    patient,
    support::{Server, load_loaf, loaf, until},
};

/// The kernel truncates the name of a thread to this.
const LISTENER: &str = "cache-aside-lis";

/// Costs for the process, in microseconds.
pub(crate) struct Process {
    pub(crate) hit: f64,
    pub(crate) near_hit: f64,
    /// The cost of one change, alone and among a hundred.
    pub(crate) push: f64,
    pub(crate) push_of_hundred: f64,
}

/// The cost of keeping near caches live for a second, in µs, without changes: for each listener and
/// each of its nodes.
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
    let plain: Cache = patient::cache(&server.url()).build().unwrap();
    let near: Cache = patient::cache(&server.url())
        .near_staleness(patient::PATIENCE)
        .near_cache(10_000)
        .build()
        .unwrap();
    until(|| near.stats().tracking_live);
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..effort.rounds(5) {
        // Waits for earlier pushes; otherwise a second read would not be a near hit.
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

/// Writes records as another program would.
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

/// The cost for the listener of receiving changes of all these records, with `in_a_turn` in one
/// turn of the server. Each record is near before it changes. All changes of a turn arrive before
/// the next turn. Otherwise a late listener would read several turns at once, which costs less.
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
        // The last record was near, so it is a hit in Redis only after its eviction. The records
        // before it in the push are evicted by then too.
        until(|| near.get(last, load_loaf).unwrap().source() == Source::Hit);
    }
    (listeners_ran() - before) / ids.len() as f64
}

/// On one server.
pub(crate) fn heartbeat(effort: Effort, done: impl Fn()) -> Heartbeat {
    let server = Server::start_on_port();
    let heartbeat = heartbeat_of(effort, slice::from_ref(&server), &server.url());
    done();
    heartbeat
}

/// On a cluster, where each `PING` is sent with a request for a key.
pub(crate) fn cluster_heartbeat(effort: Effort, done: impl Fn()) -> Heartbeat {
    let cluster = Cluster::start(3, 0);
    let heartbeat = heartbeat_of(effort, cluster.masters(), &cluster.url());
    done();
    heartbeat
}

/// Fifty near caches on one pool. Each has its own listeners, as in separate processes.
fn heartbeat_of(effort: Effort, nodes: &[Server], url: &str) -> Heartbeat {
    let count: u16 = if effort.in_earnest { 50 } else { 2 };
    let length = Duration::from_millis(if effort.in_earnest { 4_000 } else { 300 });
    let mut meters: Vec<_> = nodes.iter().map(Meter::new).collect();
    let mut measured = || -> Vec<Spent> {
        let starts: Vec<_> = meters.iter_mut().map(Meter::start).collect();
        thread::sleep(length);
        let pairs = meters.iter_mut().zip(&starts);
        pairs.map(|(meter, start)| meter.end(start)).collect()
    };
    // Nodes of a cluster also tell each other that they live.
    let idle = measured();
    let redis = patient::pool(url, 16);
    let all: Vec<Cache> = (0..count)
        .map(|_| patient::on(&redis).near_cache(10).build().unwrap())
        .collect();
    until(|| all.iter().all(|cache| cache.stats().tracking_live));
    let before = listeners_ran();
    let spent = measured();
    let process = listeners_ran() - before;
    let sum = |all: &[Spent], figure: fn(&Spent) -> f64| all.iter().map(figure).sum::<f64>();
    let of_one = 1.0 / f64::from(count) / sum(&spent, |spent| spent.wall);
    let cpu = |all: &[Spent]| sum(all, |spent| spent.cpu);
    Heartbeat {
        server: (cpu(&spent) - cpu(&idle)).max(0.0) * of_one,
        process: process * of_one,
        pings: sum(&spent, |spent| spent.command("ping").0) * of_one,
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

/// How long a thread has run, in microseconds; 0 if `/proc` does not have the value.
fn ran(thread: &str) -> f64 {
    let said = fs::read_to_string(format!("{thread}/schedstat")).unwrap_or_default();
    let nanos = said
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    nanos.unwrap_or_default() / 1e3
}
