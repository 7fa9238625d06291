//! The failovers that a cluster went through, or the moves of an address, and the stale answers
//! that they explain.
//!
//! Redis acknowledges a write before its replicas have it, so a replica that takes over may have a
//! record that had been ended; and a master in whose place another one has come may answer until it
//! hears of that. Both end with the life of the record. The fault schedule looks at the cluster now
//! and then; what happened between two looks is known at the second one.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::plan::{Instant, Violation};

/// For how long after a failover an answer may be stale, beyond the life of a record: what is on
/// its way, and a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Failovers {
    /// How long after a failover an answer may begin that it explains.
    lasts: Duration,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    periods: Vec<Period>,
}

/// From one look to the next. Some replica took over.
#[derive(Clone, Copy)]
struct Period {
    began: Instant,
    ended: Instant,
    /// What had happened.
    why: &'static str,
}

/// Stale answers that failovers explain.
#[derive(Debug, Default)]
pub(crate) struct Staleness {
    /// By what had happened.
    pub(crate) stale: BTreeMap<&'static str, Stale>,
    /// Not judged yet.
    waiting: Vec<Violation>,
}

#[derive(Debug, Default)]
pub(crate) struct Stale {
    pub(crate) lookups: u64,
    /// For how long at most something newer had been settled when the lookup began, where that is
    /// known.
    pub(crate) longest: Duration,
    /// How long after the beginning of its failover the latest lookup began.
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

    /// Called after a look at all nodes, with what has happened since the look before if there are
    /// other masters now.
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
    /// Judges it as soon as that can be.
    pub(crate) fn add(&mut self, answer: Violation) {
        self.waiting.push(answer);
    }

    /// Judges what can be judged by now. `Some`: one that no failover explains.
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
