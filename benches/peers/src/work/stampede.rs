//! Many threads ask for one cold record at once: how often the primary is read, and when all have
//! their answers.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use crate::{peer::Peer, record::Primary, rounds::rounds, spread::Samples};

/// The time of a load from the primary: a slow query.
pub(crate) const LOAD: Duration = Duration::from_millis(50);

/// Enough for a call, and small enough for a thousand threads.
const STACK: usize = 512 * 1024;

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) threads: u32,
    /// How often the primary was read, by peer.
    pub(crate) loads: Vec<Samples>,
    /// The time until all were answered, by peer.
    pub(crate) seconds: Vec<Samples>,
}

pub(crate) fn measure(
    threads: u32,
    peers: &[Box<dyn Peer>],
    how_many: usize,
    progress: &ProgressBar,
) -> Figures {
    let outcomes = rounds(how_many, peers, progress, |peer| stampede(&**peer, threads));
    let (mut loads, mut seconds) = (Vec::new(), Vec::new());
    for rounds in outcomes {
        let (some, elapsed): (Samples, Samples) = rounds.into_iter().unzip();
        loads.push(some);
        seconds.push(elapsed);
    }
    Figures {
        threads,
        loads,
        seconds,
    }
}

fn stampede(peer: &dyn Peer, threads: u32) -> (f64, f64) {
    const ID: &str = "hot";
    let primary = Arc::new(Primary::new(LOAD));
    peer.forget(ID);
    let all_there = Barrier::new(threads as usize);
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let read = || {
            all_there.wait();
            let began = Instant::now();
            peer.get(ID, &primary);
            (began, Instant::now())
        };
        let readers: Vec<_> = (0..threads)
            .map(|_| {
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, read)
                    .expect("there is room for another thread")
            })
            .collect();
        let answers = readers.into_iter().map(thread::ScopedJoinHandle::join);
        answers.map(|times| times.expect("an answer")).collect()
    });
    let first = times.iter().map(|(began, _)| *began).min();
    let last = times.iter().map(|(_, ended)| *ended).max();
    let elapsed = last.zip(first).map(|(last, first)| last - first);
    (
        primary.loads().into(),
        elapsed.unwrap_or_default().as_secs_f64(),
    )
}
