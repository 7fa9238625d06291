//! The steps of a store that keeps [`tags`](super::tags).
//!
//! Knows no records and no loaders.

use std::time::Duration;

use super::{
    failure::Failure,
    reply::{Entry, TtlRemaining},
    tags::{TagKeys, TagValues},
};

/// The steps of a store that keeps tags.
///
/// A tag that has no value gets that of the clock. So the entries under it are good only if nothing
/// was invalidated since their loads began. A clock that has no value begins a new epoch, with
/// which no entry is good. So the store may lose either at any time. If it may lose only the latest
/// values of the clock, it must begin a new epoch before the next invalidation.
///
/// # Errors
///
/// As in [`Store`](super::Store#errors).
#[expect(
    clippy::missing_errors_doc,
    reason = "all steps fail for the same reasons: see the trait"
)]
pub trait TaggedStore: Send + Sync {
    /// Reads the clock and the tags, and gives them values where they are missing. They then live
    /// for `life` at least. Two round trips if one is missing.
    fn read_tags(&self, tags: &TagKeys, life: Duration) -> Result<TagValues, Failure>;

    /// Does [`read_tags`](TaggedStore::read_tags), and reads the entry at a data key, in any order.
    /// `with_ttl`: reads its remaining TTL too. One round trip, two if a value is missing.
    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        tags: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure>;

    /// Sees to it that the clock and the tags live for `life` at least.
    fn keep_tags(&self, tags: &TagKeys, life: Duration) -> Result<(), Failure>;

    /// Ends all entries under any of these tags, and all loads of such entries. The clock and the
    /// tags live for `life` at least. `lag`: also leaves a floor, for this time at least.
    fn invalidate_tags(
        &self,
        tags: &TagKeys,
        life: Duration,
        lag: Option<Duration>,
    ) -> Result<(), Failure>;
}
