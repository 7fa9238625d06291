//! Cost by the size of a record: the number of fields, and the number of bytes.

use std::{convert::Infallible, hint::black_box, time::Duration};

use cache_aside::{Cache, Record, Source};

use crate::{
    Effort,
    bare::Bare,
    support::Server,
    table::{Table, Unit},
    times::{in_turn, timed},
};

const COLUMNS: [(&str, Unit); 6] = [
    ("bare `HGETALL`", Unit::Time),
    ("hit", Unit::Time),
    ("to bare", Unit::Ratio),
    ("bare steps of a miss", Unit::Time),
    ("miss", Unit::Time),
    ("to bare", Unit::Ratio),
];

/// A record with this many fields of this many bytes each.
fn record(fields: usize, bytes: usize) -> Record {
    let value = "v".repeat(bytes);
    (0..fields)
        .map(|number| (format!("field_{number}"), value.clone()))
        .collect()
}

pub(crate) fn fields(effort: Effort, done: impl Fn()) -> Table {
    // A round with 400 fields takes some four times as long as a round with 4.
    let steps = vec![(4, 3_000), (40, 2_000), (400, 1_000)];
    let rows = |(count, rounds): (u32, _)| {
        let step = (count.to_string(), f64::from(count));
        let row = row(effort.rounds(rounds), &record(count as usize, 16));
        done();
        (step, row)
    };
    let (steps, rows): (Vec<_>, Vec<_>) = effort.steps(steps).into_iter().map(rows).unzip();
    Table::new(
        "Fields of a record, 16 bytes each".to_owned(),
        "fields",
        steps,
        COLUMNS,
        &rows,
    )
}

pub(crate) fn bytes(effort: Effort, done: impl Fn()) -> Table {
    let steps = vec![
        (1_000, "1 KB", 3_000),
        (100_000, "100 KB", 1_000),
        (10_000_000, "10 MB", 40),
    ];
    let rows = |(count, name, rounds): (u32, &str, _)| {
        let step = (name.to_owned(), f64::from(count));
        let row = row(effort.rounds(rounds), &record(4, count as usize / 4));
        done();
        (step, row)
    };
    let (steps, rows): (Vec<_>, Vec<_>) = effort.steps(steps).into_iter().map(rows).unzip();
    Table::new(
        "Bytes of a record, in 4 fields".to_owned(),
        "bytes",
        steps,
        COLUMNS,
        &rows,
    )
}

fn row(rounds: usize, record: &Record) -> [f64; 6] {
    let server = Server::start_on_port();
    let cache = || -> Cache {
        let cache = server.builder().ttl(Duration::from_secs(60 * 60));
        cache.build().unwrap()
    };
    let (cache, writer) = (cache(), cache());
    let [mut for_hit, mut for_miss] = [(); 2].map(|()| Bare::of(&server, "p-001", record.clone()));
    let load = || Ok::<_, Infallible>(Some(record.clone()));
    let [bare_hit, hit, bare_miss, miss] = in_turn(
        rounds,
        |_| drop(writer.get("p-001", |_| load()).unwrap()),
        [
            Box::new(|| timed(|| drop(black_box(for_hit.hgetall())))),
            Box::new(|| timed(|| assert!(cache.get("p-001", |_| load()).unwrap().is_hit()))),
            Box::new(|| {
                writer.invalidate("p-001").unwrap();
                timed(|| for_miss.miss())
            }),
            Box::new(|| {
                writer.invalidate("p-001").unwrap();
                // The primary's work is not measured.
                let loaded = load();
                timed(|| {
                    let found = cache.get("p-001", |_| loaded).unwrap();
                    assert_eq!(found.source(), Source::Loaded);
                })
            }),
        ],
    );
    [
        bare_hit,
        hit,
        hit / bare_hit,
        bare_miss,
        miss,
        miss / bare_miss,
    ]
}
