//! Which process this is, and values that no other process may use.
//!
//! A fork copies the memory of a process and one of its threads. In the child, the other threads do
//! not exist. A lock that one of them held stays locked for ever, and a value that one of them was
//! changing stays half changed. Sockets are not copied: the child and its parent would read each
//! other's replies. So a value with threads, locks or connections belongs to the process that
//! made it.
//!
//! Guarantees that [`OfProcess`] gives its value to no other process, and drops it in no other
//! process. [`PerProcess`](super::per_process::PerProcess) makes a new value there.
//!
//! The id of an ended process may be assigned again. A child that gets the id of a dead ancestor
//! takes the values of that ancestor for its own. The ancestor no longer uses its connections, so
//! no replies are mixed.

use std::{
    cell::Cell,
    mem,
    time::{Duration, Instant},
};

/// How long the answer of the system is valid for a thread. A fork by that thread takes several
/// times longer, because it copies the page tables. So no fork lies between a question and the end
/// of this time. Asking takes two to eight times as long as a reading of the clock.
const VALID_FOR: Duration = Duration::from_micros(10);

thread_local! {
    /// The answer that this thread got last, and until when it is valid.
    static ANSWER: Cell<Option<(Process, Instant)>> = const { Cell::new(None) };
}

/// Identifies a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// Asks the system.
    pub(crate) fn current() -> Process {
        Process(std::process::id())
    }

    pub(crate) fn id(self) -> u32 {
        self.0
    }

    /// Whether this is the current process. `now`: the clock, read a moment ago.
    #[inline]
    pub(crate) fn is_current(self, now: Instant) -> bool {
        match ANSWER.get() {
            Some((process, until)) if now < until => process == self,
            _ => self.ask(now),
        }
    }

    /// Out of line, to keep a near hit small.
    #[inline(never)]
    fn ask(self, now: Instant) -> bool {
        let current = Process::current();
        ANSWER.set(Some((current, now + VALID_FOR)));
        current == self
    }
}

/// A value that only the process that made it may use. In another process it is never dropped,
/// because its drop may wait for a thread that does not exist there.
#[derive(Debug, Clone)]
pub(crate) struct OfProcess<T> {
    process: Process,
    /// `None` only after the drop.
    value: Option<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> OfProcess<T> {
        OfProcess {
            process: Process::current(),
            value: Some(value),
        }
    }

    /// The value. `None` in another process. `now`: the clock, read a moment ago.
    #[inline]
    pub(crate) fn get(&self, now: Instant) -> Option<&T> {
        if self.process.is_current(now) {
            self.value.as_ref()
        } else {
            None
        }
    }

    /// The value, whatever process this is. Another process may only read what no lock guards and
    /// nobody changes. A thread of this crate may do everything, because no fork copies it.
    pub(crate) fn peek(&self) -> &T {
        self.value.as_ref().expect("it is not dropped")
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.process != Process::current() {
            mem::forget(self.value.take());
        }
    }
}

/// The cause of an error if a value of another process was asked for.
#[derive(Debug, thiserror::Error)]
#[error("it belongs to the process that this one was forked from, and only that one may use it")]
pub(crate) struct OtherProcess;

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;

    /// No process has this id: on Linux, the first one is 1.
    const OTHER: Process = Process(0);

    /// A value of another process.
    pub(in crate::util) fn inherited<T>(value: T) -> OfProcess<T> {
        OfProcess {
            process: OTHER,
            value: Some(value),
        }
    }

    #[test]
    fn the_system_is_asked_again_when_its_answer_is_no_longer_valid() {
        let (here, now) = (Process::current(), Instant::now());
        assert!(here.is_current(now) && !OTHER.is_current(now));
        ANSWER.set(Some((OTHER, now + VALID_FOR)));
        assert!(!here.is_current(now) && OTHER.is_current(now));
        assert!(here.is_current(now + VALID_FOR));
    }

    #[test]
    fn another_process_gets_no_value_and_does_not_drop_it() {
        let value = Rc::new(());
        let held = OfProcess::new(Rc::clone(&value));
        assert!(held.get(Instant::now()).is_some());
        drop(held);
        assert_eq!(Rc::strong_count(&value), 1);
        let held = inherited(Rc::clone(&value));
        assert!(held.get(Instant::now()).is_none());
        drop(held);
        assert_eq!(Rc::strong_count(&value), 2);
    }
}
