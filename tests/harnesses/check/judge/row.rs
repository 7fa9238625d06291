//! What is kept of one record: its contents, with the loads that returned them, and its floors.
//!
//! Guarantees bounded memory. A load that was forgotten began before
//! [`loads_unknown_until`](Row::loads_unknown_until), so nobody is refuted for it. Called by the
//! rules.

use std::{collections::VecDeque, rc::Rc};

use super::{
    floors::{Floors, Settled},
    line::Line,
};

/// A record has fewer contents than this within the time of a few floors.
const CONTENTS: usize = 16;

/// Invalidations within the lag of a replica. Versions grow, so the latest ones say the most.
const ENDS: usize = 32;

/// Enough for a picture.
const MOMENTS: usize = 12;

/// A content of a record, and its latest loads.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) hash: u64,
    /// The latest begin of a load that read the primary.
    pub(crate) from_primary: Option<u64>,
    /// Of loads that may have read a replica: the latest begin, and the largest version.
    pub(crate) from_replica: Option<(u64, u64)>,
    /// How far that replica may lag.
    pub(crate) lag: u64,
    /// The latest begin of a load, for tags: an update in place keeps that of the content that it
    /// has changed.
    pub(crate) under_tags: u64,
    /// The tags that all of its loads named.
    pub(crate) tags: Rc<[Box<str>]>,
}

impl Content {
    pub(crate) fn latest(&self) -> u64 {
        let replica = self.from_replica.map_or(0, |(began, _)| began);
        self.from_primary.unwrap_or(0).max(replica)
    }
}

/// What an invalidation left for replicas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) by: Settled,
    /// `None`: loads must read the primary.
    pub(crate) version: Option<u64>,
}

/// Something that happened to a record, for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) what: &'static str,
    pub(crate) began: u64,
    pub(crate) at: u64,
    pub(crate) hash: Option<u64>,
    pub(crate) process: u32,
}

/// One record, or one tag.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) floors: Floors,
    pub(crate) contents: Vec<Content>,
    pub(crate) left: VecDeque<Left>,
    pub(crate) moments: VecDeque<Moment>,
    /// A load that is not known here began before this instant.
    pub(crate) loads_unknown_until: u64,
    /// An invalidation that is not known here began before this instant. `None`: there is none.
    pub(crate) ends_unknown_until: Option<u64>,
    /// When it was last used: a number that grows.
    pub(crate) used: u64,
}

impl Row {
    pub(crate) fn content(&self, hash: u64) -> Option<&Content> {
        self.contents.iter().find(|it| it.hash == hash)
    }

    /// Whether a load of any content that began at this floor or later would be known.
    pub(crate) fn knows_loads_since(&self, floor: u64, slack: u64) -> bool {
        self.loads_unknown_until.saturating_add(slack) < floor
    }

    /// Adds a load, or joins it with the others of the same content. A join may only make lookups
    /// right: it takes the latest begin and the largest version, and the tags of all loads.
    pub(crate) fn loaded(&mut self, hash: u64, line: &Line) {
        let began = line.began();
        let replica = line.lag.map(|_| (began, line.version.unwrap_or(0)));
        // If the changed content is not known, its load began before `loads_unknown_until`.
        let of_changed = |was| self.content(was).map_or(0, |it| it.under_tags);
        self.join(Content {
            hash,
            from_primary: replica.is_none().then_some(began),
            from_replica: replica,
            lag: line.lag.unwrap_or(0),
            under_tags: line.was.map_or(began, |was| began.min(of_changed(was))),
            tags: match self.content(hash) {
                Some(known) if line.unchanged => Rc::clone(&known.tags),
                _ => line.tags.iter().cloned().collect(),
            },
        });
    }

    fn join(&mut self, new: Content) {
        let known = self.contents.iter_mut().find(|it| it.hash == new.hash);
        let Some(known) = known else {
            self.contents.push(new);
            if self.contents.len() > CONTENTS {
                let oldest = (0..self.contents.len()).min_by_key(|at| self.contents[*at].latest());
                let gone = self.contents.swap_remove(oldest.unwrap_or(0));
                self.loads_unknown_until = self.loads_unknown_until.max(gone.latest());
            }
            return;
        };
        if known.tags != new.tags {
            let both = known.tags.iter().filter(|tag| new.tags.contains(tag));
            known.tags = both.cloned().collect();
        }
        known.under_tags = known.under_tags.max(new.under_tags);
        known.from_primary = known.from_primary.max(new.from_primary);
        known.lag = known.lag.max(new.lag);
        known.from_replica = match (known.from_replica, new.from_replica) {
            (Some((began, version)), Some(new)) => Some((began.max(new.0), version.max(new.1))),
            (known, new) => known.or(new),
        };
    }

    pub(crate) fn ended(&mut self, left: Left) {
        self.left.push_back(left);
        if self.left.len() > ENDS {
            self.left.pop_front();
        }
    }

    pub(crate) fn add_moment(&mut self, moment: Moment) {
        self.moments.push_back(moment);
        if self.moments.len() > MOMENTS {
            self.moments.pop_front();
        }
    }

    /// How many items it keeps.
    pub(crate) fn len(&self) -> usize {
        self.floors.len() + self.contents.len() + self.left.len() + self.moments.len()
    }
}
