//! A question that several callers have at the same time, and that one of them asks.
//!
//! Guarantees that no caller waits longer than it says, and that a question without a useful answer
//! is not asked again at once: see [`PAUSE`]. It does not know the question. Called by
//! `redirected.rs`, which asks a node for the slots.
//!
//! No user code runs under its lock, and nothing is sent. `is_answered` runs there; it may take the
//! locks of the topology.

use std::time::Duration;

use crate::util::sync::{Condvar, Instant, Mutex};

/// How long nobody asks after an answer that did not help. So at most ten connections a second are
/// opened only to ask.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct SharedQuestion {
    state: Mutex<QuestionState>,
    /// Notified, with no lock held, when a caller has asked.
    ended: Condvar,
}

#[derive(Default)]
struct QuestionState {
    /// Whether a caller is asking.
    is_asked: bool,
    paused_until: Option<Instant>,
}

impl SharedQuestion {
    /// Asks, unless another caller is asking: then waits for that one, but no longer than `within`.
    /// Does nothing during the pause. `ask` returns whether the answer helped.
    pub(super) fn ask(
        &self,
        within: Duration,
        is_answered: impl Fn() -> bool,
        ask: impl FnOnce() -> bool,
    ) {
        {
            let deadline = Instant::now() + within;
            let mut state = self.state.lock();
            // No wake-up is lost: a caller ends its question under this lock, and the wait releases
            // the lock atomically.
            while state.is_asked && !is_answered() && Instant::now() < deadline {
                state = self.ended.wait_until(state, deadline);
            }
            let is_paused = state.paused_until.is_some_and(|it| Instant::now() < it);
            if state.is_asked || is_paused || is_answered() {
                return;
            }
            state.is_asked = true;
        }
        // Its drop ends the question, even after a panic.
        let mut asking = Asking {
            question: self,
            has_helped: false,
        };
        asking.has_helped = ask();
    }
}

struct Asking<'a> {
    question: &'a SharedQuestion,
    has_helped: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.question.state.lock();
            state.is_asked = false;
            state.paused_until = (!self.has_helped).then(|| Instant::now() + PAUSE);
        }
        self.question.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn callers_at_the_same_time_ask_once_and_all_get_the_answer() {
        let question = SharedQuestion::default();
        let (asked, answered) = (AtomicU32::new(0), AtomicBool::new(false));
        let (started, is_asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (question, asked, answered) = (&question, &asked, &answered);
            scope.spawn(move || {
                question.ask(
                    LONG,
                    || answered.load(SeqCst),
                    || {
                        started.send(()).unwrap();
                        answers.recv().unwrap();
                        asked.fetch_add(1, SeqCst);
                        answered.store(true, SeqCst);
                        true
                    },
                );
            });
            is_asked.recv().unwrap();
            for _ in 0..4 {
                scope.spawn(move || {
                    let ask = || asked.fetch_add(1, SeqCst) > 0;
                    question.ask(LONG, || answered.load(SeqCst), ask);
                    assert!(answered.load(SeqCst));
                });
            }
            answer.send(()).unwrap();
        });
        assert_eq!(asked.load(SeqCst), 1);
    }

    #[test]
    fn a_caller_waits_no_longer_than_it_says() {
        let question = SharedQuestion::default();
        question.state.lock().is_asked = true;
        question.ask(Duration::ZERO, || false, || unreachable!("another asks"));
    }

    #[test]
    fn after_an_answer_that_did_not_help_nobody_asks_for_a_while() {
        let question = SharedQuestion::default();
        question.ask(LONG, || false, || false);
        question.ask(LONG, || false, || unreachable!("it is paused"));
        question.state.lock().paused_until = Some(Instant::now());
        let mut has_asked = false;
        question.ask(
            LONG,
            || false,
            || {
                has_asked = true;
                true
            },
        );
        assert!(has_asked && question.state.lock().paused_until.is_none());
    }

    #[test]
    fn a_panic_ends_the_question() {
        let question = SharedQuestion::default();
        let ask = || question.ask(LONG, || false, || panic!("the one who asks"));
        assert!(catch_unwind(AssertUnwindSafe(ask)).is_err());
        let state = question.state.lock();
        assert!(!state.is_asked && state.paused_until.is_some());
    }
}
