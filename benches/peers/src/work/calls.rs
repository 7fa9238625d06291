//! One thread, one call at a time: its time, and its allocations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use crate::{
    allocated,
    peer::{Peer, Way},
    record::Primary,
    rounds::rounds,
    spread::{Samples, Spread},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Hit,
    Near,
    Miss,
    Batch,
}

impl Call {
    pub(crate) const ALL: [Call; 4] = [Call::Hit, Call::Near, Call::Miss, Call::Batch];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Call::Hit => "hit",
            Call::Near => "near hit",
            Call::Miss => "cold miss",
            Call::Batch => "100-key batch",
        }
    }

    /// The maximum number of calls in one turn.
    fn times(self) -> usize {
        match self {
            Call::Hit => 100,
            Call::Near => 20_000,
            Call::Miss => 30,
            Call::Batch => 10,
        }
    }
}

/// The measurements of one kind of call. `None`: the peer does not have it.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) call: Call,
    /// Seconds per call, by peer; the median of each turn.
    pub(crate) seconds: Vec<Option<Samples>>,
    /// Bytes per call, by peer.
    pub(crate) bytes: Vec<Option<f64>>,
    /// Which peers do a batch as single calls.
    pub(crate) one_by_one: Vec<bool>,
}

/// The length of a turn. A slow peer makes fewer calls in it.
const TURN: Duration = Duration::from_millis(30);

/// The number of records in the batch.
pub(crate) const BATCH: usize = 100;

pub(crate) fn measure(
    call: Call,
    peers: &[Box<dyn Peer>],
    ids: &[String],
    how_many: usize,
    progress: &ProgressBar,
) -> Figures {
    let primary = Arc::new(Primary::new(Duration::ZERO));
    let able: Vec<usize> = (0..peers.len())
        .filter(|index| is_able(call, &*peers[*index]))
        .collect();
    let times = rounds(how_many, &able, progress, |index| {
        median(&turn(call, &*peers[*index], ids, &primary))
    });
    let mut figures = Figures {
        call,
        seconds: peers.iter().map(|_| None).collect(),
        bytes: peers.iter().map(|_| None).collect(),
        one_by_one: peers.iter().map(|_| false).collect(),
    };
    for (index, times) in able.into_iter().zip(times) {
        let peer = &*peers[index];
        figures.seconds[index] = Some(times);
        figures.bytes[index] = Some(bytes(call, peer, ids, &primary));
        let batch = peer.batch().filter(|_| call == Call::Batch);
        figures.one_by_one[index] = batch.is_some_and(|batch| batch.way == Way::OneByOne);
    }
    figures
}

/// How many turns that takes for all peers together.
pub(crate) fn turns(call: Call, peers: &[Box<dyn Peer>], rounds: usize) -> usize {
    rounds * peers.iter().filter(|peer| is_able(call, &***peer)).count()
}

fn is_able(call: Call, peer: &dyn Peer) -> bool {
    match call {
        Call::Near => peer.near().is_some(),
        Call::Batch => peer.batch().is_some(),
        // A miss without Redis costs nothing but the load.
        Call::Hit | Call::Miss => peer.hit().is_some(),
    }
}

fn turn(call: Call, peer: &dyn Peer, ids: &[String], primary: &Arc<Primary>) -> Samples {
    let mut samples = Vec::with_capacity(call.times());
    if call == Call::Near {
        // A call is shorter than reading the clock.
        let began = Instant::now();
        repeat(call, peer, ids, primary, &mut |call| call());
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        samples.push(began.elapsed().as_secs_f64() / call.times() as f64);
    } else {
        repeat(call, peer, ids, primary, &mut |call| {
            let began = Instant::now();
            call();
            samples.push(began.elapsed().as_secs_f64());
        });
    }
    samples
}

/// Passes each call of a turn to `around`, which makes it. The preparation of a call is not
/// included.
fn repeat(
    call: Call,
    peer: &dyn Peer,
    ids: &[String],
    primary: &Arc<Primary>,
    around: &mut dyn FnMut(&mut dyn FnMut()),
) {
    let end = Instant::now() + TURN;
    let in_time = |number: usize| call == Call::Near || number == 0 || Instant::now() < end;
    let ids_in_turn = ids.iter().cycle().take(call.times()).enumerate();
    let ids_in_turn = ids_in_turn.take_while(|(number, _)| in_time(*number));
    match call {
        Call::Hit | Call::Near => {
            let read = if call == Call::Hit {
                peer.hit()
            } else {
                peer.near()
            };
            let read = read.expect("only who is able is asked");
            for (_, id) in ids_in_turn {
                around(&mut || read(id));
            }
        }
        Call::Miss => {
            for (_, id) in ids_in_turn {
                peer.forget(id);
                around(&mut || peer.get(id, primary));
            }
        }
        Call::Batch => {
            let batch = peer.batch().expect("only who is able is asked");
            for _ in ids_in_turn {
                around(&mut || (batch.read)(&ids[..BATCH]));
            }
        }
    }
}

/// The median of several calls: sometimes a buffer grows, or a background thread runs.
fn bytes(call: Call, peer: &dyn Peer, ids: &[String], primary: &Arc<Primary>) -> f64 {
    let mut samples = Vec::with_capacity(call.times());
    repeat(call, peer, ids, primary, &mut |call| {
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        samples.push(allocated::bytes_during(call) as f64);
    });
    median(&samples)
}

fn median(samples: &[f64]) -> f64 {
    Spread::of(samples).median
}
