//! The failovers of a cluster, or the moves of an address, and the stale answers that they explain.
//!
//! Redis acknowledges a write before its replicas have it. So a replica that takes over may still
//! have a record that was invalidated. A master that was replaced may also answer until it notices
//! that. In both cases, the stale answers end when the record expires. The fault schedule checks
//! the cluster now and then. A failover between two checks is known at the second one.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::plan::{Instant, Violation};

/// How long after a failover an answer may be stale, in addition to the life of a record. This
/// covers requests under way, and a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Failovers {
    /// A failover explains the answers that begin within this time after it.
    lasts: Duration,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    periods: Vec<Period>,
}

/// The time between two checks in which a replica took over.
#[derive(Clone, Copy)]
struct Period {
    began: Instant,
    ended: Instant,
    /// The fault that caused the failover.
    why: &'static str,
}

/// Stale answers that failovers explain.
#[derive(Debug, Default)]
pub(crate) struct Staleness {
    /// The stale answers by fault.
    pub(crate) stale: BTreeMap<&'static str, Stale>,
    /// Answers that cannot be judged yet.
    waiting: Vec<Violation>,
}

#[derive(Debug, Default)]
pub(crate) struct Stale {
    pub(crate) lookups: u64,
    /// The longest time, as far as known, between the settling of a newer version and the beginning
    /// of a lookup that was stale.
    pub(crate) longest: Duration,
    /// The latest beginning of a stale lookup, counted from the beginning of its failover.
    pub(crate) latest: Duration,
}

impl Failovers {
    pub(crate) fn new(lasts: Duration) -> Failovers {
        Failovers {
            lasts,
            state: Mutex::new(State {
                looked: Instant::now(),
                periods: Vec::new(),
            }),
        }
    }

    /// Called after a check of all nodes. `took_over`: the fault since the previous check, if the
    /// masters have changed.
    pub(crate) fn looked(&self, took_over: Option<&'static str>) {
        let mut state = self.state.lock();
        let ended = Instant::now();
        let began = std::mem::replace(&mut state.looked, ended);
        if let Some(why) = took_over {
            state.periods.push(Period { began, ended, why });
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().periods.len()
    }

    /// The failover that explains this answer.
    fn explains(&self, answer: &Violation) -> Option<Period> {
        let explains = |period: &&Period| {
            period.began <= answer.ended && answer.began <= period.ended.after(self.lasts)
        };
        let state = self.state.lock();
        state.periods.iter().rev().find(explains).copied()
    }

    fn knows(&self, answer: &Violation) -> bool {
        self.state.lock().looked > answer.ended
    }
}

impl Staleness {
    /// Adds a stale answer. It is judged as soon as possible.
    pub(crate) fn add(&mut self, answer: Violation) {
        self.waiting.push(answer);
    }

    /// Judges all answers that can be judged by now. `Some`: an answer that no failover explains.
    pub(crate) fn judge(&mut self, failovers: &Failovers) -> Option<Violation> {
        let (known, unknown) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|answer| failovers.knows(answer));
        self.waiting = unknown;
        let known: Vec<Violation> = known;
        for answer in known {
            let Some(failover) = failovers.explains(&answer) else {
                return Some(answer);
            };
            let stale = self.stale.entry(failover.why).or_default();
            stale.lookups += 1;
            if let Some(since) = answer.stale_since {
                stale.longest = stale.longest.max(answer.began.since(since));
            }
            stale.latest = stale.latest.max(answer.began.since(failover.began));
        }
        None
    }

    pub(crate) fn lookups(&self) -> u64 {
        self.stale.values().map(|stale| stale.lookups).sum()
    }
}
