//! The cost of each call, and of each step of the protocol, for the server.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    Effort,
    meter::{Meter, Spent, least},
    steps::{Ground, STEPS, Step},
    support::Server,
};

/// The cost of one call for the server, in µs of its main thread.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    /// The commands that it sends.
    pub(crate) sends: &'static str,
    /// With one caller.
    pub(crate) alone: f64,
    /// With sixteen callers.
    pub(crate) loaded: f64,
    /// What the server counts for these commands alone, without the network.
    pub(crate) inside: f64,
}

pub(crate) fn calls(effort: Effort, done: impl Fn()) -> Vec<Cost> {
    let server = Server::start_on_port();
    let mut meter = Meter::new(&server);
    let ground = Ground::on(&server);
    let count = effort.rounds(2_000);
    let mut all: Vec<[Vec<Spent>; 2]> = STEPS.iter().map(|_| Default::default()).collect();
    for _ in 0..effort.rounds(5) {
        for which in 0..2 {
            for (step, spent) in STEPS.iter().zip(&mut all) {
                let threads = if which == 0 { 1 } else { step.threads };
                let run = |thread, number| (step.run)(&ground, thread, number);
                spent[which].push(meter.spent(|| spread(threads, count, &run)));
            }
        }
        done();
    }
    let costs = STEPS.iter().zip(all);
    costs
        .map(|(step, spent)| cost(step, count, &spent))
        .collect()
}

/// Runs the calls in this many threads together, each with its number.
pub(crate) fn spread(threads: usize, count: usize, call: &(dyn Fn(usize, usize) + Sync)) {
    let next = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    call(thread, number);
                }
            });
        }
    });
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn cost(step: &Step, count: usize, [alone, loaded]: &[Vec<Spent>; 2]) -> Cost {
    let middle = |spent: &[Spent], figure: &dyn Fn(&Spent) -> f64| {
        least(&spent.iter().map(figure).collect::<Vec<_>>())
    };
    let cpu = |spent: &Spent| spent.cpu / count as f64;
    let inside = |spent: &Spent| -> f64 {
        let parts = step.parts.iter().map(|(name, times)| {
            let (calls, micros) = spent.command(name);
            // At least the expected number. Scripts may read more often.
            assert!(
                calls >= f64::from(*times) * count as f64,
                "{}: {name}",
                step.name
            );
            f64::from(*times) * micros / calls
        });
        parts.sum()
    };
    Cost {
        name: step.name,
        sends: step.sends,
        alone: middle(alone, &cpu),
        loaded: middle(loaded, &cpu),
        inside: middle(alone, &inside),
    }
}
