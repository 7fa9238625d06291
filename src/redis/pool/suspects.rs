//! Which pooled connections are suspected to be dead, because another one failed.
//!
//! A failed connection makes suspects of all older ones:
//!
//! - It was lost: closed, reset, or cut within a reply. Each suspect must answer a check before its
//!   next request. If a suspect is lost too, all suspects are closed: the server or a proxy has
//!   restarted.
//! - It was silent: a request timed out. The pool opens a new connection. If that one answers, all
//!   suspects are closed: something on the way has forgotten them. If not, each must answer a
//!   check.
//!
//! A suspect that fails makes no suspects of younger connections.
//!
//! Guarantees that no request waits on a suspect while the new connection is being opened.
//!
//! Used by what opens, checks and uses the connections of a pool. Opens and sends nothing. No other
//! lock is taken, and nothing is sent or logged, while its lock is held.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::util::sync::{Condvar, Mutex};

/// The age of a connection: how often connections had become suspects before it was opened, or
/// before it last answered a check.
pub(super) type Generation = u64;

/// The suspects of one pool.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Connections of an earlier generation are suspects.
    current: AtomicU64,
    /// Connections of an earlier generation are closed. Never larger than `current`.
    oldest: AtomicU64,
    probe: Mutex<Probe>,
    /// Notified, with no lock held, when a probe ends.
    ended: Condvar,
}

/// The attempt to open a new connection after a silence.
#[derive(Debug, Default)]
struct Probe {
    is_running: bool,
    /// Whether the latest one got no answer in time.
    is_silent: bool,
    /// How many callers wait for its end.
    waiting: u32,
}

/// What is known of a suspect after a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A younger connection works, or another suspect is dead: close it.
    Dead,
    /// It must answer a check.
    Unknown,
    /// No connection works now, not even a new one.
    Silent,
}

impl Suspects {
    /// The generation of a connection that is opened, or is sent a check, after this.
    pub(super) fn current(&self) -> Generation {
        self.current.load(Ordering::Acquire)
    }

    /// Whether a connection must be closed. Costs one atomic load.
    pub(super) fn is_dead(&self, generation: Generation) -> bool {
        generation < self.oldest.load(Ordering::Acquire)
    }

    /// Records that a connection was lost. Those that are as old become suspects.
    pub(super) fn lost(&self, generation: Generation) {
        // If it was a suspect itself, it says nothing about younger connections.
        let _ = self.current.compare_exchange(
            generation,
            generation + 1,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Closes all connections that are older than this generation.
    pub(super) fn close_before(&self, generation: Generation) {
        self.oldest.fetch_max(generation, Ordering::AcqRel);
    }

    /// Records that a request on a connection timed out. Returns true if the caller must now start
    /// a probe.
    pub(super) fn silent(&self, generation: Generation) -> bool {
        self.lost(generation);
        if self.is_dead(generation) {
            return false;
        }
        let mut probe = self.probe.lock();
        !std::mem::replace(&mut probe.is_running, true)
    }

    /// Waits while a probe runs, but no longer than `within`. `generation` is that of a suspect.
    pub(super) fn verdict(&self, generation: Generation, within: Duration) -> Verdict {
        let until = Instant::now() + within;
        {
            let mut probe = self.probe.lock();
            let waits = probe.is_running;
            probe.waiting += u32::from(waits);
            // No wake-up is lost: a probe ends under this lock, and the wait releases it
            // atomically.
            while probe.is_running && Instant::now() < until {
                probe = self.ended.wait_until(probe, until);
            }
            probe.waiting -= u32::from(waits);
            if waits && (probe.is_running || probe.is_silent) {
                return Verdict::Silent;
            }
        }
        if self.is_dead(generation) {
            Verdict::Dead
        } else {
            Verdict::Unknown
        }
    }

    /// Ends a probe. `alive` is the generation of the new connection if it answered: all older ones
    /// are then closed.
    pub(super) fn end_probe(&self, alive: Option<Generation>, is_silent: bool) {
        if let Some(alive) = alive {
            self.close_before(alive);
        }
        {
            let mut probe = self.probe.lock();
            probe.is_running = false;
            probe.is_silent = is_silent;
        }
        self.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn one_failure_makes_suspects_of_the_older_connections_and_a_later_one_of_no_younger() {
        let suspects = Suspects::default();
        let old = suspects.current();
        suspects.lost(old);
        let young = suspects.current();
        assert!(young > old && !suspects.is_dead(old));
        // Those that were in use at the same time fail a little later.
        suspects.lost(old);
        assert!(suspects.silent(old));
        assert_eq!(suspects.current(), young);
        suspects.close_before(young);
        assert!(suspects.is_dead(old) && !suspects.is_dead(young));
    }

    #[test]
    fn one_probe_runs_at_a_time_and_none_for_connections_that_are_known_to_be_dead() {
        let suspects = Suspects::default();
        let old = suspects.current();
        assert!(suspects.silent(old) && !suspects.silent(old));
        let young = suspects.current();
        suspects.end_probe(Some(young), false);
        assert!(!suspects.silent(old));
        assert_eq!(suspects.verdict(old, LONG), Verdict::Dead);
        assert!(suspects.silent(young));
    }

    #[test]
    fn a_probe_without_an_answer_closes_nothing_and_the_next_silence_starts_another() {
        let suspects = Suspects::default();
        let old = suspects.current();
        assert!(suspects.silent(old));
        suspects.end_probe(None, true);
        // Nobody has waited for that probe.
        assert_eq!(suspects.verdict(old, LONG), Verdict::Unknown);
        assert!(suspects.silent(old));
        assert_eq!(suspects.verdict(old, Duration::ZERO), Verdict::Silent);
    }

    #[test]
    fn those_who_wait_for_a_probe_get_its_result() {
        for (alive, is_silent, expected) in [
            (true, false, Verdict::Dead),
            (false, false, Verdict::Unknown),
            (false, true, Verdict::Silent),
        ] {
            let suspects = Suspects::default();
            let old = suspects.current();
            assert!(suspects.silent(old));
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| suspects.verdict(old, LONG));
                while suspects.probe.lock().waiting == 0 {
                    std::thread::yield_now();
                }
                suspects.end_probe(alive.then(|| suspects.current()), is_silent);
                assert_eq!(waits.join().unwrap(), expected);
            });
        }
    }
}
