//! Whether a content is right as the answer of a lookup, by what is known of its loads and of the
//! invalidations. Called by the rules.

use std::collections::VecDeque;

use super::{
    floors::Client,
    row::{Content, Left},
    rules::Fault,
};

/// A server keeps expiry in milliseconds, and its clock stands still during a script. So a floor
/// may lapse this much early.
const LAPSES_EARLY: u64 = 10_000_000;

/// An answer that may be `late` about what other clients did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) began: u64,
    pub(super) late: u64,
    pub(super) by: Client,
    /// How far two clocks may be apart.
    pub(super) slack: u64,
}

/// What an answer must respect.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bound {
    /// The begin of the latest invalidation.
    pub(super) floor: u64,
    /// Invalidations that began before this instant may have been forgotten.
    pub(super) unknown_until: Option<u64>,
}

impl Bound {
    pub(super) fn and(self, other: Bound) -> Bound {
        Bound {
            floor: self.floor.max(other.floor),
            unknown_until: self.unknown_until.max(other.unknown_until),
        }
    }
}

impl Answer {
    /// What is wrong with it. `left`: what invalidations of the record have left for replicas.
    pub(super) fn fault(
        self,
        content: &Content,
        left: &VecDeque<Left>,
        (of_record, of_tags): (Bound, Bound),
    ) -> Option<Fault> {
        if content.under_tags + self.slack < of_tags.floor {
            return Some(Fault::Old);
        }
        let is_late_enough = |began: u64| began + self.slack >= of_record.floor;
        if content.from_primary.is_some_and(is_late_enough) {
            return None;
        }
        let Some((began, version)) = content.from_replica.filter(|it| is_late_enough(it.0)) else {
            return Some(Fault::Old);
        };
        let may_lack = |left: &&Left| {
            let lag = content.lag.saturating_sub(LAPSES_EARLY);
            let is_known = left.by.counts(self.began, self.late, self.by);
            is_known && began < left.by.floor.saturating_add(lag)
        };
        let mut lacking = left.iter().filter(may_lack);
        let is_behind = |left: &Left| left.version.is_none_or(|floor| version < floor);
        lacking.any(is_behind).then_some(Fault::BehindReplica)
    }

    /// Whether it is right, where it has no fault, whatever invalidations were forgotten.
    pub(super) fn is_surely_right(
        self,
        content: &Content,
        (of_record, of_tags): (Bound, Bound),
    ) -> bool {
        let is_after = |began: u64, unknown_until: Option<u64>, lag: u64| {
            unknown_until.is_none_or(|until| began + self.slack >= until.saturating_add(lag))
        };
        let of_primary = |began| is_after(began, of_record.unknown_until, 0);
        let of_replica = |(began, _)| is_after(began, of_record.unknown_until, content.lag);
        is_after(content.under_tags, of_tags.unknown_until, 0)
            && (content.from_primary.is_some_and(of_primary)
                || content.from_replica.is_some_and(of_replica))
    }
}
