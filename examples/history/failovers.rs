//! The failovers that a cluster went through, and the stale answers that they explain.
//!
//! Redis acknowledges a write before its replicas have it, so a replica that takes over may have a record that had been ended;
//! and a master in whose place another one has come may answer until it hears of that. Both end with the life of the
//! record. The weather looks at the cluster now and then; what happened between two looks is known at the second one.

use std::time::Duration;

use parking_lot::Mutex;

use crate::plan::{Instant, Violation};

/// For how long after a failover an answer may be stale, beyond the life of a record: what is on its way, and a busy machine.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) struct Failovers {
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    /// In each of these some replica took over: from one look to the next.
    periods: Vec<(Instant, Instant)>,
}

/// Stale answers that failovers explain.
#[derive(Debug, Default)]
pub(crate) struct Staleness {
    pub(crate) lookups: u64,
    /// For how long at most something newer had been settled when the lookup began, where that is known.
    pub(crate) longest: Duration,
    /// How long after the beginning of its failover the latest lookup began.
    pub(crate) latest: Duration,
    /// Not judged yet.
    waiting: Vec<Violation>,
}

impl Failovers {
    pub(crate) fn new() -> Failovers {
        Failovers {
            state: Mutex::new(State {
                looked: Instant::now(),
                periods: Vec::new(),
            }),
        }
    }

    /// Called after a look at all nodes. `took_over`: there are other masters than at the look before.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code))]
    pub(crate) fn looked(&self, took_over: bool) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.looked, Instant::now());
        if took_over {
            let period = (before, state.looked);
            state.periods.push(period);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().periods.len()
    }

    /// When the failover began that explains this answer; `Err`: none does.
    fn explains(&self, answer: &Violation, life: Duration) -> Result<Instant, ()> {
        let state = self.state.lock();
        let explains = |(began, ended): &&(Instant, Instant)| {
            *began <= answer.ended && answer.began <= ended.after(life + SLACK)
        };
        let latest = state.periods.iter().rev().find(explains);
        latest.map(|(began, _)| *began).ok_or(())
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
    pub(crate) fn judge(&mut self, failovers: &Failovers, life: Duration) -> Option<Violation> {
        let (known, unknown) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|answer| failovers.knows(answer));
        self.waiting = unknown;
        let known: Vec<Violation> = known;
        for answer in known {
            let Ok(began) = failovers.explains(&answer, life) else {
                return Some(answer);
            };
            self.lookups += 1;
            if let Some(since) = answer.stale_since {
                self.longest = self.longest.max(answer.began.since(since));
            }
            self.latest = self.latest.max(answer.began.since(began));
        }
        None
    }
}
