//! When tags have changed, for near entries under tags.
//!
//! Guarantees that a near entry is used only while none of its tags has changed since its read
//! began, and only for lookups whose tags are among its own. Two rules ensure that:
//!
//! - Each change of a tag gets a number, larger than all before. A lookup takes the present number
//!   *before* it sends its request, and its entry is good while no tag of it has a larger one. So
//!   an entry needs no eviction, and one that is filled after a change is not used.
//! - Tags have a change stream of their own. An entry is used only while that is live, and in the
//!   epoch in which the entry was read, as in `liveness.rs`.
//!
//! Tags that share a place in the table end each other's entries, which costs a read. Called by the
//! near cache and by the reader of the stream. Without tags nothing here exists.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::liveness::StreamLiveness;
use crate::store::{ChangeListener, Subscription};

/// One for each hash of a tag. With ten thousand tags that change, an entry with three tags ends
/// for nothing at one change in five thousand.
const PLACES: usize = 1 << 14;

/// The stream of the changes of one namespace's tags.
pub(crate) struct TagStream {
    pub(crate) changes: Arc<TagChanges>,
    /// Held to stay subscribed.
    _subscription: Subscription,
}

impl TagStream {
    pub(crate) fn new(changes: Arc<TagChanges>, subscription: Subscription) -> TagStream {
        TagStream {
            changes,
            _subscription: subscription,
        }
    }
}

/// The number of the latest change of each tag.
pub(crate) struct TagChanges {
    /// What the keys of tags begin with. Other keys, such as those of records, are no tags.
    prefix: String,
    liveness: StreamLiveness,
    latest: AtomicU64,
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl TagChanges {
    /// `namespace`: what all keys of the namespace begin with.
    pub(crate) fn new(namespace: &str) -> TagChanges {
        TagChanges {
            prefix: format!("{namespace}:"),
            liveness: StreamLiveness::new(),
            latest: AtomicU64::new(0),
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Identifies a tag by its key. Two tags with one number would be taken for each other; of 64
    /// random bits that does not happen.
    pub(crate) fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        let at = usize::try_from(hash % PLACES as u64).unwrap_or_default();
        &self.places[at]
    }

    fn is_live(&self, began: Instant) -> bool {
        self.liveness.is_live(self.liveness.nanos(began))
    }
}

impl ChangeListener for TagChanges {
    fn on_confirmed(&self, until: Instant) {
        self.liveness.confirm(until);
    }

    fn on_change(&self, key: &str) {
        // The clock changes with every tag. And the caches of this process report their records.
        if !key.starts_with(&self.prefix) {
            return;
        }
        // A lookup that takes the new number before it is in its place sends its request later. The
        // change has happened by then, so what it reads has seen the change.
        let number = self.latest.fetch_add(1, Ordering::AcqRel) + 1;
        let place = self.place(self.hash(key));
        place.fetch_max(number, Ordering::AcqRel);
    }

    fn on_lease_change(&self, _lease: &str) {}

    fn on_flush(&self) {
        self.liveness.start_epoch();
    }

    fn on_disconnect(&self) {
        self.liveness.disconnect();
    }
}

/// The tags of a lookup, as a near cache needs them.
pub(crate) struct NearTags<'a> {
    changes: &'a TagChanges,
    hashes: Vec<u64>,
    is_live: bool,
    epoch: u64,
    /// The number of the latest change before the lookup.
    since: u64,
}

impl<'a> NearTags<'a> {
    /// The tags with these keys, for a lookup that began at `began` and has sent nothing yet.
    pub(crate) fn new<'k>(
        changes: &'a TagChanges,
        keys: impl Iterator<Item = &'k String>,
        began: Instant,
    ) -> NearTags<'a> {
        NearTags {
            changes,
            hashes: keys.map(|key| changes.hash(key)).collect(),
            // First of all, as `liveness.rs` requires.
            is_live: changes.is_live(began),
            epoch: changes.liveness.epoch(),
            since: changes.latest.load(Ordering::Acquire),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Adds the tags that the entry lists.
    pub(super) fn add(&mut self, keys: &[String]) {
        self.hashes
            .extend(keys.iter().map(|key| self.changes.hash(key)));
    }

    /// What an entry keeps of them. `None`: it must not be kept, because the stream was down.
    pub(super) fn of_entry(self) -> Option<Arc<EntryTags>> {
        (self.changes.liveness.epoch() == self.epoch).then(|| {
            Arc::new(EntryTags {
                hashes: self.hashes.into(),
                epoch: self.epoch,
                since: self.since,
            })
        })
    }

    /// Whether an entry with these tags is good for the lookup.
    pub(super) fn admit(&self, entry: &EntryTags) -> bool {
        let is_unchanged =
            |hash: &u64| self.changes.place(*hash).load(Ordering::Acquire) <= entry.since;
        entry.epoch == self.epoch
            && self.hashes.iter().all(|hash| entry.hashes.contains(hash))
            && entry.hashes.iter().all(is_unchanged)
    }
}

/// The tags of a near entry, and when it was read.
pub(super) struct EntryTags {
    hashes: Box<[u64]>,
    epoch: u64,
    since: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> String {
        format!("tags:{{test}}:{name}")
    }

    fn live() -> TagChanges {
        let changes = TagChanges::new("tags:{test}");
        changes.on_confirmed(Instant::now() + Duration::from_secs(600));
        changes
    }

    fn tags<'a>(changes: &'a TagChanges, names: &[&str]) -> NearTags<'a> {
        let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
        NearTags::new(changes, keys.iter(), Instant::now())
    }

    #[test]
    fn an_entry_is_good_until_one_of_its_tags_changes() {
        let changes = live();
        let entry = tags(&changes, &["a", "b"]).of_entry().unwrap();
        changes.on_change(&key("c"));
        assert!(tags(&changes, &["a"]).admit(&entry));
        assert!(tags(&changes, &["b", "a"]).admit(&entry));
        changes.on_change(&key("b"));
        assert!(!tags(&changes, &["a"]).admit(&entry));
    }

    #[test]
    fn an_entry_under_other_tags_is_not_good() {
        let changes = live();
        let entry = tags(&changes, &["a"]).of_entry().unwrap();
        assert!(!tags(&changes, &["b"]).admit(&entry));
        assert!(!tags(&changes, &["a", "b"]).admit(&entry));
        assert!(tags(&changes, &[]).admit(&entry));
    }

    /// Lookup: number — writer: change — lookup: fill.
    #[test]
    fn an_entry_whose_read_began_before_a_change_is_not_good_after_it() {
        let changes = live();
        let early = tags(&changes, &["a"]);
        changes.on_change(&key("a"));
        let entry = early.of_entry().unwrap();
        assert!(!tags(&changes, &["a"]).admit(&entry));
        let entry = tags(&changes, &["a"]).of_entry().unwrap();
        assert!(tags(&changes, &["a"]).admit(&entry));
    }

    #[test]
    fn an_entry_from_before_a_loss_of_the_stream_is_not_good_after_it() {
        let changes = live();
        let early = tags(&changes, &["a"]);
        let entry = tags(&changes, &["a"]).of_entry().unwrap();
        changes.on_disconnect();
        assert!(!tags(&changes, &["a"]).is_live());
        changes.on_confirmed(Instant::now() + Duration::from_secs(600));
        assert!(tags(&changes, &["a"]).is_live());
        assert!(!tags(&changes, &["a"]).admit(&entry));
        assert!(early.of_entry().is_none());
    }

    #[test]
    fn only_a_tag_ends_entries() {
        let changes = live();
        let entry = tags(&changes, &["a"]).of_entry().unwrap();
        // Otherwise some of them would share its place.
        for record in 0..4 * PLACES {
            changes.on_change(&format!("cache:product:{record}"));
        }
        changes.on_change("tags:{test}clock");
        assert!(tags(&changes, &["a"]).admit(&entry));
    }
}
