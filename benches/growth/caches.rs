//! Cost by the number of caches on one pool, with and without near caches.

use std::{convert::Infallible, fs, hint::black_box, time::Duration};

use cache_aside::{Cache, Redis};

use crate::{
    Effort,
    bare::Bare,
    support::{Server, loaf, until},
    table::{Table, Unit},
    times::{in_turn, timed, timed_each},
};

const COLUMNS: [(&str, Unit); 8] = [
    ("`build` of one", Unit::Time),
    ("hit", Unit::Time),
    ("to bare", Unit::Ratio),
    ("`invalidate`", Unit::Time),
    ("to bare", Unit::Ratio),
    ("near hit", Unit::Time),
    ("threads", Unit::Count),
    ("connections", Unit::Count),
];

pub(crate) fn caches(effort: Effort, near: bool, done: impl Fn()) -> Table {
    let rows = |count: u32| {
        let row = row(effort, count, near);
        done();
        ((count.to_string(), f64::from(count)), row)
    };
    let steps = effort.steps(vec![1, 3, 10, 30, 100]);
    let (steps, rows): (Vec<_>, Vec<_>) = steps.into_iter().map(rows).unzip();
    let with = if near { ", each with a near cache" } else { "" };
    let title = format!("Caches on one pool{with}");
    let mut table = Table::new(title, "caches", steps, COLUMNS, &rows);
    table
        .columns
        .retain(|column| near || column.name != "near hit");
    table
}

fn row(effort: Effort, count: u32, near: bool) -> [f64; 8] {
    let server = Server::start_on_port();
    let mut bare = Bare::new(&server);
    let mut watcher = server.connect();
    let (threads, connections) = (threads(), connections(&mut watcher));
    let redis = Redis::builder(server.url()).pool_size(4).build().unwrap();
    let mut caches: Vec<Cache> = Vec::new();
    let built = timed(|| {
        for number in 0..count {
            let cache = Cache::builder(&redis).prefix(format!("test:{number}:"));
            let cache = cache.ttl(Duration::from_secs(60 * 60));
            let cache = if near { cache.near_cache(1_000) } else { cache };
            caches.push(cache.build().unwrap());
        }
    });
    until(|| {
        caches
            .iter()
            .all(|cache| cache.stats().tracking_live == near)
    });
    let get = |cache: &Cache, id: &str| {
        let found = cache.get(id, |_| Ok::<_, Infallible>(Some(loaf())));
        black_box(found).unwrap().is_hit()
    };
    let plain = Cache::builder(&redis).prefix("test:").build().unwrap();
    get(&plain, "p-001");
    for cache in &caches {
        // Near at the second hit, although the push of the fill itself may be late.
        until(|| get(cache, "near") && (!near || cache.stats().near_hits > 0));
    }
    let (mut in_turn_near, mut writers) = (caches.iter().cycle(), caches.iter().cycle());
    let [bare_hit, hit, bare_del, invalidate, near_hit] = in_turn(
        effort.rounds(1_500),
        |_| {
            get(&plain, "p-001");
        },
        [
            Box::new(|| timed(|| drop(black_box(bare.hgetall())))),
            Box::new(|| timed(|| assert!(get(&plain, "p-001")))),
            Box::new(|| timed(|| drop(redis::cmd("DEL").arg("test:none").exec(&mut watcher)))),
            Box::new(|| {
                let cache = writers.next().unwrap();
                timed(|| assert!(!cache.invalidate("none").unwrap()))
            }),
            Box::new(|| timed_each(20, || assert!(get(in_turn_near.next().unwrap(), "near")))),
        ],
    );
    [
        built.as_secs_f64() / f64::from(count),
        hit,
        hit / bare_hit,
        invalidate,
        invalidate / bare_del,
        near_hit,
        self::threads() - threads,
        self::connections(&mut watcher) - connections,
    ]
}

/// 0 if `/proc` does not have the value.
#[expect(clippy::cast_precision_loss, reason = "some hundreds")]
fn threads() -> f64 {
    fs::read_dir("/proc/self/task").map_or(0.0, |tasks| tasks.count() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "some hundreds")]
fn connections(watcher: &mut redis::Connection) -> f64 {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(watcher).unwrap();
    list.lines().count() as f64
}
