//! A cache of any record type, as a relay uses it. The caches implement it.

use std::collections::BTreeSet;

use crate::error::Error;

/// A cache whose records a relay invalidates.
pub(crate) trait RelayTarget: Send + Sync {
    /// The name by which entries refer to it.
    fn name(&self) -> &str;

    /// Fails if the cache can have no record with this id.
    fn check_id(&self, id: &str) -> Result<(), Error>;

    /// Invalidates all of them. If that fails, the cache remembers those that failed.
    fn invalidate(&self, ids: &BTreeSet<&str>) -> Result<u64, Error>;
}
