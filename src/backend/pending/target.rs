//! What a pending invalidation ends: a record or a tag.
//!
//! Called by the pending invalidations and by the client, which sends them again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{PendingInvalidations, PendingState, Recorded, cause::PendingError};
use crate::{
    store::{TagKeys, keys::Keys},
    telemetry::reporter::Reporter,
};

/// What is to be invalidated.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Record(Keys),
    Tag(TagEnding),
}

/// The invalidation of a tag.
#[derive(Debug, Clone)]
pub(crate) struct TagEnding {
    /// The keys of this tag alone.
    pub(crate) keys: TagKeys,
    /// How long the tag lives at least.
    pub(crate) life: Duration,
    /// How long its floor lasts. `None`: it leaves none.
    pub(crate) lag: Option<Duration>,
}

impl Target {
    pub(crate) fn key(&self) -> &str {
        match self {
            Target::Record(keys) => &keys.data,
            Target::Tag(tag) => tag.key(),
        }
    }
}

impl TagEnding {
    pub(crate) fn key(&self) -> &str {
        self.keys.tags.first().map_or("", String::as_str)
    }

    /// The tag itself.
    pub(crate) fn name(&self) -> &str {
        TagKeys::tag_of(self.key())
    }
}

impl Target {
    /// Takes over what another invalidation of the same key demands in addition. Another cache may
    /// be the one that has versions.
    pub(super) fn join(&mut self, other: Target) {
        match (self, other) {
            (Target::Record(known), Target::Record(other)) => {
                known.floor = other.floor.or(known.floor.take());
            }
            (Target::Tag(known), Target::Tag(other)) => {
                known.life = known.life.max(other.life);
                known.lag = known.lag.max(other.lag);
            }
            // Their keys differ: no prefix begins like the keys of tags.
            _ => {}
        }
    }
}

impl PendingState {
    /// Call this when an invalidation is added or removed.
    pub(super) fn count_tag(&mut self, target: &Target, is_added: bool) {
        let Target::Tag(tag) = target else {
            return;
        };
        let clock = &tag.keys.clock;
        if is_added {
            *self.tags.entry(clock.clone()).or_default() += 1;
        } else if let Some(count) = self.tags.get_mut(clock) {
            *count -= 1;
            if *count == 0 {
                self.tags.remove(clock);
            }
        }
    }
}

impl PendingInvalidations {
    /// Why a tag may be older in the store than it should be; `None` if none of these is. `any`:
    /// looks at all tags of the namespace.
    pub(crate) fn why_tags(&self, tags: &TagKeys, any: bool) -> Option<PendingError> {
        // Acquire: as in `why`.
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        let is_pending = |tag: &String| state.entries.contains_key(tag);
        if any && state.tags.contains_key(&tags.clock) || tags.tags.iter().any(is_pending) {
            return Some(PendingError::Tag);
        }
        state.bypasses.why(&tags.clock)
    }

    /// Does the same for the invalidation of a tag.
    pub(crate) fn remember_tag(&self, tag: &TagEnding, reporter: &Arc<Reporter>) -> Recorded {
        let prefix = tag.keys.prefix();
        self.remember_target(Target::Tag(tag.clone()), &prefix, reporter)
    }
}
