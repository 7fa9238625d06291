//! The queue of requests that wait for a connection.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use shuttle::{
    check_pct, check_random,
    rand::{Rng, thread_rng},
};

use crate::request_batcher::{BatchOutcome, CombiningQueue, Deadlines, JoinOutcome};
use crate::sync::{Instant, thread};

/// A request is the clock that its caller read at its arrival. An answer is the server's clock.
type Queue = CombiningQueue<u32, u32>;

const FOR_EVER: Deadlines = Deadlines {
    to_be_sent: Instant::NEVER,
    to_be_answered: Instant::NEVER,
};

/// A server whose every answer is later than the one before.
#[derive(Default)]
struct Server {
    queue: Queue,
    now: AtomicU32,
    tasks: AtomicU32,
}

/// What fails in the task with this number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// There is no connection.
    NoConnection(u32),
    /// It panics after its first answer.
    Panic(u32),
    /// It returns after its first answer.
    GiveUp(u32),
    /// Its connection breaks off after its first answer.
    BreakOff(u32),
}

impl Server {
    /// Asks, alone or in a batch, as `src/redis/single/shared_requests.rs` does. `None`: late, or
    /// not answered.
    fn ask(&self, deadlines: Deadlines, most: usize, fault: Fault) -> Option<u32> {
        let came = self.now.fetch_add(1, SeqCst);
        // Some requests are equal.
        let same = |one: &u32, other: &u32| one % 3 == other % 3;
        // A connection is free at this moment.
        let is_free = self.queue.has_waiters() && thread_rng().gen_bool(0.2);
        let changed = if is_free {
            Err(self.queue.take(came, most, same))
        } else {
            Ok(self.queue.join(came, deadlines))
        };
        let outcome = match changed {
            Ok(JoinOutcome::Answered(answer)) => BatchOutcome::Answered(answer),
            Ok(JoinOutcome::Late | JoinOutcome::Unanswered) => return None,
            Ok(JoinOutcome::BrokenOff) => BatchOutcome::BrokenOff,
            changed @ (Ok(JoinOutcome::Combiner(_)) | Err(_)) => {
                let task = self.tasks.fetch_add(1, SeqCst);
                thread::yield_now();
                if changed.is_ok() && fault == Fault::NoConnection(task) {
                    return None;
                }
                let mut batch = match changed {
                    Ok(JoinOutcome::Combiner(combiner)) => combiner.take(most, same),
                    Err(batch) => batch,
                    Ok(_) => unreachable!(),
                };
                let mut answered = 0;
                while batch.first().is_some() {
                    thread::yield_now();
                    assert!(answered == 0 || fault != Fault::Panic(task));
                    if answered > 0 && fault == Fault::GiveUp(task) {
                        break;
                    }
                    if answered > 0 && fault == Fault::BreakOff(task) {
                        batch.break_off();
                        break;
                    }
                    batch.answer(self.now.fetch_add(1, SeqCst));
                    answered += 1;
                }
                batch.end()
            }
        };
        let answer = match outcome {
            BatchOutcome::Answered(answer) => Some(answer),
            // Asks again, alone.
            BatchOutcome::BrokenOff => Some(self.now.fetch_add(1, SeqCst)),
            BatchOutcome::Unanswered => None,
        };
        if let Some(said) = answer {
            assert!(said > came, "answered {said} to one who came at {came}");
        }
        answer
    }
}

/// This many threads ask once each.
fn ask(threads: u32, deadlines: fn() -> Deadlines, most: usize, fault: Fault) -> Vec<Option<u32>> {
    let server = Arc::new(Server::default());
    let asking: Vec<_> = (0..threads)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let looked = AssertUnwindSafe(|| server.ask(deadlines(), most, fault));
                catch_unwind(looked).ok().flatten()
            })
        })
        .collect();
    let answers: Vec<_> = asking
        .into_iter()
        .map(|asks| asks.join().unwrap())
        .collect();
    // A later caller finds an empty queue, and gets an answer.
    assert!(!server.queue.has_waiters());
    assert!(server.ask(FOR_EVER, most, Fault::None).is_some());
    answers
}

fn served(answers: &[Option<u32>]) -> usize {
    answers.iter().flatten().count()
}

#[test]
fn every_caller_gets_one_answer_from_a_request_that_was_sent_after_it_came() {
    check_pct(
        || assert_eq!(served(&ask(3, || FOR_EVER, 1, Fault::None)), 3),
        500,
        3,
    );
    check_random(
        || {
            let answers = ask(5, || FOR_EVER, 3, Fault::None);
            assert_eq!(served(&answers), 5);
        },
        500,
    );
}

#[test]
fn a_combiner_that_gets_no_connection_appoints_the_next() {
    for task in [0, 1] {
        check_random(
            move || {
                let answers = ask(4, || FOR_EVER, 8, Fault::NoConnection(task));
                assert!(served(&answers) >= 3);
            },
            500,
        );
    }
}

/// A later caller finds a working queue: `ask` checks that.
#[test]
fn callers_whose_combiner_panics_or_gives_up_return_at_once() {
    for fault in [
        Fault::Panic(0),
        Fault::Panic(1),
        Fault::GiveUp(0),
        Fault::GiveUp(1),
    ] {
        check_pct(
            move || {
                ask(4, || FOR_EVER, 8, fault);
            },
            500,
            3,
        );
    }
}

#[test]
fn callers_whose_connection_breaks_off_ask_alone_and_all_get_an_answer() {
    for task in [0, 1] {
        check_pct(
            move || {
                let answers = ask(4, || FOR_EVER, 8, Fault::BreakOff(task));
                assert_eq!(served(&answers), 4);
            },
            500,
            3,
        );
    }
}

/// Also where a combiner is appointed, or its answer comes, at the moment of its deadline.
#[test]
fn a_caller_that_times_out_leaves_the_queue_and_strands_nobody() {
    let soon = || Deadlines {
        to_be_sent: Instant::soon(),
        to_be_answered: Instant::soon(),
    };
    for fault in [
        Fault::None,
        Fault::NoConnection(0),
        Fault::GiveUp(0),
        Fault::BreakOff(0),
    ] {
        check_random(
            move || {
                ask(4, soon, 2, fault);
            },
            500,
        );
    }
}
