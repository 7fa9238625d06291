//! Hits from many threads at once: how many a second, and the time of each.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;

use crate::{
    peer::{Maker, Setup},
    record::Primary,
    rounds::rounds,
    spread::Samples,
};

/// The results of one turn.
#[derive(Debug)]
struct Turn {
    per_second: f64,
    quantiles: [f64; 3],
}

pub(crate) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The number of threads, and of connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cell {
    pub(crate) threads: usize,
    pub(crate) connections: u32,
}

/// The settings of one cell's measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) turn: Duration,
    pub(crate) rounds: usize,
}

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) cell: Cell,
    /// Hits a second, by peer.
    pub(crate) per_second: Vec<Samples>,
    /// The seconds of a single call, by quantile and peer.
    pub(crate) quantiles: [Vec<Samples>; 3],
}

pub(crate) fn measure(
    cell: Cell,
    makers: &[&Maker],
    setup: &Setup<'_>,
    ids: &[String],
    length: Length,
    progress: &ProgressBar,
) -> Figures {
    let setup = Setup {
        connections: cell.connections,
        threads: cell.threads,
        ..*setup
    };
    let peers: Vec<_> = makers.iter().map(|maker| (maker.make)(&setup)).collect();
    let primary = Arc::new(Primary::new(Duration::ZERO));
    let reads: Vec<_> = peers
        .iter()
        .map(|peer| {
            for id in ids {
                peer.get(id, &primary);
            }
            peer.hit().expect("only who asks Redis is asked")
        })
        .collect();
    // Opens connections, and wakes the threads of the peers.
    rounds(1, &reads, &ProgressBar::hidden(), |read| {
        turn(read, cell.threads, ids, length.turn / 3)
    });
    let turns = rounds(length.rounds, &reads, progress, |read| {
        turn(read, cell.threads, ids, length.turn)
    });
    let each = |figure: &dyn Fn(&Turn) -> f64| -> Vec<Samples> {
        let of_peer = |turns: &Vec<Turn>| turns.iter().map(figure).collect();
        turns.iter().map(of_peer).collect()
    };
    Figures {
        cell,
        per_second: each(&|turn| turn.per_second),
        quantiles: [0, 1, 2].map(|index| each(&|turn| turn.quantiles[index])),
    }
}

fn turn(
    read: &(dyn Fn(&str) + Send + Sync),
    threads: usize,
    ids: &[String],
    length: Duration,
) -> Turn {
    let start = Barrier::new(threads + 1);
    let mut all = histogram();
    let mut in_time = 0;
    thread::scope(|scope| {
        // Moved into each thread: everything that it borrows lives outside the scope.
        let (start, ids) = (&start, ids);
        let run = move |number: usize| {
            let mut times = histogram();
            let mut in_time: u32 = 0;
            // Each thread starts at another record.
            let ids = ids.iter().cycle().skip(number * ids.len() / threads);
            start.wait();
            let mut before = Instant::now();
            let end = before + length;
            for id in ids {
                read(id);
                let now = Instant::now();
                let nanos = u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX);
                times.saturating_record(nanos);
                if now > end {
                    // The call is counted, because leaving it out would hide a slow one. But it
                    // ends after the turn.
                    break;
                }
                in_time += 1;
                before = now;
            }
            (times, in_time)
        };
        let running: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || run(number)))
            .collect();
        start.wait();
        for thread in running {
            let (times, some) = thread.join().expect("every read is a hit");
            all.add(times).expect("both have the same bounds");
            in_time += some;
        }
    });
    Turn {
        per_second: f64::from(in_time) / length.as_secs_f64(),
        quantiles: QUANTILES.map(|(_, quantile)| {
            Duration::from_nanos(all.value_at_quantile(quantile)).as_secs_f64()
        }),
    }
}

/// The range is from a microsecond to a minute, with a precision of one in a hundred.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 2).expect("the bounds make sense")
}
