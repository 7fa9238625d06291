//! The thread of a relay: when it looks at the outbox, and what it does after a failure.
//!
//! Guarantees that it continues after an error or a panic of the outbox, with growing pauses, and
//! that it ends after its current step once the relay is dropped. Called by the relay's worker.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::{
    Outbox,
    round::{Relay, RoundOutcome, Rounds},
};
use crate::util::{
    backoff::Backoff,
    random::shortened,
    worker::{Next, WorkerContext, contain_panic},
};

/// The pause after the first failure. A brief disturbance is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two attempts: how much later than necessary a record is invalidated
/// when a server is back. One request a second costs a database nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Runs rounds until the relay is dropped. `context`: whether someone has called `wake`.
pub(super) fn run<O: Outbox>(
    relay: &Relay,
    outbox: O,
    poll: Duration,
    context: &WorkerContext<bool>,
) {
    let _end = End(relay);
    let mut rounds = Rounds::new(relay, outbox);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !context.is_stopping() {
        match contain_panic(|| rounds.next()) {
            Some(RoundOutcome::Full) => backoff.reset(),
            Some(RoundOutcome::Drained) => {
                backoff.reset();
                wait(context, poll);
            }
            failed => {
                let error = match failed {
                    Some(RoundOutcome::Failed(error)) => Some(error),
                    _ => None,
                };
                relay.reporter.failed(rounds.step, error);
                // A wake-up does not shorten this pause: writers call it for each commit, also
                // while nothing can be invalidated.
                context.pause(backoff.next());
            }
        }
    }
    let _ = contain_panic(|| drop(rounds));
}

/// Says at its drop that the thread has ended. It is dropped after the outbox: a program may want
/// to delete the file of the outbox then.
struct End<'a>(&'a Relay);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.progress.ended();
    }
}

/// Waits for the next round, or until the thread must stop.
fn wait(context: &WorkerContext<bool>, poll: Duration) {
    // Shortened at random, so that many processes do not ask the database at the same moment.
    let until = Instant::now() + shortened(poll);
    // Cleared before the round: a wake-up during the round causes one more.
    let next = |is_woken: &mut bool| {
        if mem::take(is_woken) || Instant::now() >= until {
            Next::Run(())
        } else {
            Next::WaitUntil(until)
        }
    };
    let _ = context.wait_for(next);
}
