//! Versions of records: the floor below which no load may be returned, and the steps that need it.
//!
//! Guarantees what [`VersionedStore`] promises. Called by the read path and the write path of a
//! cache with versions, and by `write_through` of any cache. Knows no primary and no replica.

use std::time::Duration;

use super::{failure::Failure, keys::Keys, token::Token};
use crate::record::fields::Fields;

/// The oldest version of a record that a load may return.
///
/// A floor stands for the time that a replica of the primary may lag behind a write. It belongs to
/// caches with [`versions`](crate::CacheBuilder::versions).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Floor {
    /// There is none: any version will do.
    #[default]
    None,
    /// This version or a later one.
    At(u64),
    /// The latest version is not known. The load must read the primary itself.
    Unknown,
}

impl Floor {
    /// The lowest version that a load may return, if it is known.
    #[must_use]
    pub fn min_version(self) -> Option<u64> {
        match self {
            Floor::At(version) => Some(version),
            Floor::None | Floor::Unknown => None,
        }
    }

    /// The floor after a write at `version`, or at an unknown version. A known floor only rises,
    /// and an unknown one stays unknown.
    #[must_use]
    pub fn raised(self, version: Option<u64>) -> Floor {
        match (self, version) {
            (Floor::None, Some(version)) => Floor::At(version),
            (Floor::At(floor), Some(version)) => Floor::At(floor.max(version)),
            (Floor::Unknown, _) | (_, None) => Floor::Unknown,
        }
    }
}

/// A record that its writer caches: see [`Store::write_through`](VersionedStore::write_through).
#[derive(Debug, Clone, Copy)]
pub struct WriteThrough<'a> {
    /// The nonce that the writer's guard has set.
    pub nonce: Token,
    /// The TTL of the record.
    pub ttl: Duration,
    /// The fields of the record.
    pub record: &'a Fields,
}

/// The steps of a store that keeps floors.
///
/// If the [`Keys`] of a record name a floor key, each step that ends the record also raises its
/// [`Floor`], in the same atomic step. The floor becomes [unknown](Floor::Unknown) unless the step
/// has a version. A known floor only rises. An unknown one stays unknown until it lapses.
///
/// A floor lasts for [`lag`](super::FloorKey::lag) from the latest of these steps. As long as a
/// writer has a place in the guard, and for `lag` after that, the floor is unknown: the writer may
/// die after its commit. [`acquire`](super::Store::acquire) and
/// [`refresh`](super::Store::refresh) return the floor if the caller may load.
///
/// # Errors
///
/// As in [`Store`](super::Store#errors).
#[expect(
    clippy::missing_errors_doc,
    reason = "all steps fail for the same reasons: see the trait"
)]
pub trait VersionedStore: Send + Sync {
    /// Does [`fill`](super::Store::fill) for a record of this version. Also refused if the version
    /// is below a known floor; that ends the lease.
    fn fill_at(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
        version: u64,
    ) -> Result<bool, Failure>;

    /// Does [`invalidate`](super::Store::invalidate), and raises the floor to this version.
    fn invalidate_at(&self, keys: &Keys, version: u64) -> Result<bool, Failure>;

    /// Does [`guard`](super::Store::guard), and returns the nonce that the guard has from then on.
    ///
    /// If the store repeats the request, each attempt needs a nonce of its own, and the nonce of
    /// the last one is returned. Otherwise a copy that arrives late could bring back a nonce.
    fn guard_with_nonce(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<Token, Failure>;

    /// Does [`unguard`](super::Store::unguard), and then caches the record, if there is one to
    /// cache, the guard had its nonce, and no other writer had a place in the guard, not even a
    /// lapsed one. True: the record is cached.
    ///
    /// If there was no floor before this writer's guard, and no other step since, the floor becomes
    /// `version`.
    fn write_through(
        &self,
        keys: &Keys,
        writer: Token,
        through: Option<WriteThrough<'_>>,
        version: Option<u64>,
    ) -> Result<bool, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_floor_only_rises_and_an_unknown_one_stays() {
        assert_eq!(Floor::None.raised(Some(3)), Floor::At(3));
        assert_eq!(Floor::At(5).raised(Some(3)), Floor::At(5));
        assert_eq!(Floor::At(5).raised(Some(u64::MAX)), Floor::At(u64::MAX));
        assert_eq!(Floor::At(5).raised(None), Floor::Unknown);
        assert_eq!(Floor::Unknown.raised(Some(9)), Floor::Unknown);
    }
}
