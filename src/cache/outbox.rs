//! Makes caches targets of an outbox relay.

use std::collections::BTreeSet;

use super::Cache;
use crate::{
    error::Error,
    outbox::{Outbox, builder::OutboxRelayBuilder, target::RelayTarget},
};

impl<O: Outbox> OutboxRelayBuilder<O> {
    /// Adds a cache whose records are invalidated. Entries name it by its
    /// [`name`](crate::CacheBuilder::name), by default its prefix. If several caches have the same
    /// name, as in two regions, each of them invalidates the record.
    ///
    /// There is no default: a relay needs at least one cache.
    pub fn cache<R: Send + Sync + 'static>(self, cache: &Cache<R>) -> OutboxRelayBuilder<O> {
        self.target(cache.clone())
    }
}

impl<R: Send + Sync + 'static> RelayTarget for Cache<R> {
    fn name(&self) -> &str {
        self.name()
    }

    fn check_id(&self, id: &str) -> Result<(), Error> {
        self.check_id(id)
    }

    fn invalidate(&self, ids: &BTreeSet<&str>) -> Result<u64, Error> {
        self.invalidate_many(ids)
    }
}
