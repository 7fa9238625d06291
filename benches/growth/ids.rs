//! Cost by the number of cached ids, in Redis and in the near cache.

use std::{convert::Infallible, fs, hint::black_box, ops::Range, time::Duration};

use cache_aside::{Cache, Record};
use redis::Connection;

use crate::{
    Effort,
    support::{Server, loaf, until},
    table::{Table, Unit},
    times::{in_turn, timed, timed_each},
};

/// More than all ids, so that none is evicted.
const CAPACITY: usize = 2_000_000;
const HOUR: Duration = Duration::from_secs(60 * 60);

const COLUMNS: [(&str, Unit); 9] = [
    ("bare `HGETALL`", Unit::Time),
    ("hit", Unit::Time),
    ("to bare", Unit::Ratio),
    ("bare `DEL`", Unit::Time),
    ("`invalidate`", Unit::Time),
    ("to bare", Unit::Ratio),
    ("near hit", Unit::Time),
    ("KiB, all read", Unit::Count),
    ("KiB, all near", Unit::Count),
];

pub(crate) fn ids(effort: Effort, done: impl Fn()) -> Table {
    let server = Server::start_on_port();
    let mut direct = server.connect();
    let plain: Cache = server.builder().ttl(HOUR).build().unwrap();
    let mut filled = 0;
    let all = effort.steps((0..=6).map(|power| 10_usize.pow(power)).collect());
    let rows = |count| {
        fill(&mut direct, filled..count);
        filled = count;
        let row = row(effort, &server, &mut direct, &plain, count);
        done();
        #[expect(clippy::cast_precision_loss, reason = "a million at most")]
        let size = count as f64;
        ((spaced(count), size), row)
    };
    let (steps, rows): (Vec<_>, Vec<_>) = all.into_iter().map(rows).unzip();
    let title = "Ids, with room for all in the near cache".to_owned();
    Table::new(title, "ids", steps, COLUMNS, &rows)
}

fn row(
    effort: Effort,
    server: &Server,
    direct: &mut Connection,
    plain: &Cache,
    count: usize,
) -> [f64; 9] {
    let plain_memory = grown(|| read_all(plain, count));
    let near = server.builder().ttl(HOUR).near_cache(CAPACITY);
    let near: Cache = near.build().unwrap();
    until(|| near.stats().tracking_live);
    let near_memory = grown(|| read_all(&near, count));
    let get = |cache: &Cache, id: &str| {
        let found = cache.get(id, |_| Ok::<_, Infallible>(Some(loaf())));
        assert!(black_box(found).unwrap().is_hit());
    };

    // A stride over all ids, in an order that the processor's caches cannot predict.
    let stride = |round: usize| id(round * 611_953 % count);
    let each = |from: usize| (from..).map(stride);
    let names: Vec<_> = each(0).take(1_000).collect();
    let mut names = names.iter().cycle();
    let (mut bare, mut plain_ids, mut ended) = (each(0), each(7), each(31));
    let mut bare_connection = server.connect();
    let mut deleting = server.connect();
    let [near_hit, bare_hit, hit] = in_turn(
        effort.rounds(1_500),
        |_| {},
        [
            Box::new(|| timed_each(20, || get(&near, names.next().unwrap()))),
            Box::new(|| {
                let key = key(&bare.next().unwrap());
                timed(|| {
                    let found = redis::cmd("HGETALL").arg(key).query(&mut bare_connection);
                    let found: Vec<(String, String)> = found.unwrap();
                    assert_eq!(black_box(found).len(), 4);
                })
            }),
            Box::new(|| {
                let id = plain_ids.next().unwrap();
                timed(|| get(plain, &id))
            }),
        ],
    );
    let [bare_del, invalidate] = in_turn(
        effort.rounds(1_500),
        // With few ids, the record has been evicted before.
        |round| {
            put(
                direct,
                [key(&stride(round + 31)), "bare:p-0".to_owned()].into_iter(),
            );
        },
        [
            Box::new(|| {
                timed(|| {
                    let keys = ["bare:p-0", "bare:lock"];
                    redis::cmd("DEL").arg(&keys).exec(&mut deleting).unwrap();
                })
            }),
            Box::new(|| {
                let id = ended.next().unwrap();
                timed(|| assert!(plain.invalidate(&id).unwrap()))
            }),
        ],
    );
    // All ids, for the next step.
    put(
        direct,
        each(31).take(effort.rounds(1_500)).map(|id| key(&id)),
    );
    [
        bare_hit,
        hit,
        hit / bare_hit,
        bare_del,
        invalidate,
        invalidate / bare_del,
        near_hit,
        plain_memory,
        near_memory,
    ]
}

/// `100,000`.
fn spaced(count: usize) -> String {
    match count {
        1_000_000.. => format!(
            "{},{:03},{:03}",
            count / 1_000_000,
            count / 1_000 % 1_000,
            count % 1_000
        ),
        1_000.. => format!("{},{:03}", count / 1_000, count % 1_000),
        _ => count.to_string(),
    }
}

fn id(number: usize) -> String {
    format!("p-{number}")
}

fn key(id: &str) -> String {
    format!("test:{id}")
}

/// Writes records as another program would.
fn put(direct: &mut Connection, keys: impl Iterator<Item = String>) {
    let record = loaf();
    let fields: Vec<_> = record.iter().collect();
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.hset_multiple(&key, &fields).ignore();
        pipeline.pexpire(&key, 3_600_000).ignore();
    }
    pipeline.exec(direct).unwrap();
}

fn fill(direct: &mut Connection, mut ids: Range<usize>) {
    while !ids.is_empty() {
        put(
            direct,
            ids.by_ref().take(1_000).map(|number| key(&id(number))),
        );
    }
}

fn read_all(cache: &Cache, count: usize) {
    let mut ids = 0..count;
    while !ids.is_empty() {
        let some: Vec<_> = ids.by_ref().take(1_000).map(id).collect();
        let none = |_: &[&str]| Ok::<_, Infallible>(Vec::<(String, Record)>::new());
        let found = cache.get_many(&some, none).unwrap();
        assert!(found.iter().all(cache_aside::Lookup::is_hit));
    }
}

/// How much the memory of this process grows during `work`, in KiB.
fn grown(work: impl FnOnce()) -> f64 {
    let before = resident();
    work();
    (resident() - before).max(0.0)
}

/// 0 if `/proc` does not have the value.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|rest| rest.split_whitespace().next());
    words.and_then(|word| word.parse().ok()).unwrap_or_default()
}
