//! What is cached of a record: its fields, and how long they stay.
//!
//! Called by the read path after a load, and by `write_through`. Sends nothing and reports nothing.

use std::time::Duration;

use super::{Engine, Settings};
use crate::{
    record::{
        any::AnyRecord,
        fields::{Fields, Unstorable, not_found},
    },
    util::limits::LONGEST,
};

impl Engine {
    /// The TTL and the fields that are cached of a record, or of the fact that there is none. A TTL
    /// that was `chosen` for it is exact. The usual `ttl` is jittered. `None`: nothing is cached,
    /// by choice.
    pub(crate) fn entry(
        &self,
        record: Option<&AnyRecord>,
        ttl: Duration,
        chosen: Option<Duration>,
    ) -> Result<Option<(Duration, Fields)>, Unstorable> {
        let Some(ttl) = self.ttl_of(record.is_some(), ttl, chosen) else {
            return Ok(None);
        };
        let Settings {
            schema, freshness, ..
        } = &self.settings;
        let Some(record) = record else {
            // A negative entry gets no grace, because it is useless once it is stale.
            let ttl = ttl.min(LONGEST);
            self.record_max_negative_ttl(ttl);
            return Ok(Some((ttl, not_found())));
        };
        let fields = (self.record_type.to_fields)(record, schema)?;
        Ok(Some((freshness.total_ttl(ttl), fields)))
    }

    /// How long a record that has not changed stays in the store from now on. `None`: it must not
    /// stay, by choice.
    pub(crate) fn kept_ttl(&self, ttl: Duration, chosen: Option<Duration>) -> Option<Duration> {
        let ttl = self.ttl_of(true, ttl, chosen)?;
        Some(self.settings.freshness.total_ttl(ttl))
    }

    /// The TTL of a record, or of the fact that there is none, without the grace.
    fn ttl_of(&self, is_found: bool, ttl: Duration, chosen: Option<Duration>) -> Option<Duration> {
        let Settings {
            negative_ttl,
            freshness,
            ..
        } = &self.settings;
        let by_default = if is_found {
            Some(ttl)
        } else {
            negative_ttl.map(|negative_ttl| negative_ttl.min(ttl))
        };
        let ttl = chosen.or_else(|| by_default.map(|ttl| freshness.jittered(ttl)));
        ttl.filter(|ttl| !ttl.is_zero())
    }
}
