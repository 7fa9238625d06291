//! What is cached of a record: its fields, and how long they stay.
//!
//! Called by the read path after a load, and by `write_through`. Sends nothing and reports nothing.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{Engine, Settings};
use crate::{
    record::fields::{Fields, Unstorable, not_found, to_fields},
    util::limits::LONGEST,
};

impl<R: Serialize + DeserializeOwned> Engine<R> {
    /// The TTL and the fields that are cached of a record, or of the fact that there is none. A TTL
    /// that was `chosen` for it is exact. The usual `ttl` is jittered. `None`: nothing is cached,
    /// by choice.
    pub(crate) fn entry(
        &self,
        record: Option<&R>,
        ttl: Duration,
        chosen: Option<Duration>,
    ) -> Result<Option<(Duration, Fields)>, Unstorable> {
        let Settings {
            negative_ttl,
            schema,
            freshness,
            ..
        } = &self.settings;
        let by_default = match record {
            Some(_) => Some(ttl),
            None => negative_ttl.map(|negative_ttl| negative_ttl.min(ttl)),
        };
        let ttl = chosen.or_else(|| by_default.map(|ttl| freshness.jittered(ttl)));
        let Some(ttl) = ttl.filter(|ttl| !ttl.is_zero()) else {
            return Ok(None);
        };
        let Some(record) = record else {
            // A negative entry gets no grace, because it is useless once it is stale.
            let ttl = ttl.min(LONGEST);
            self.record_max_negative_ttl(ttl);
            return Ok(Some((ttl, not_found())));
        };
        Ok(Some((freshness.total_ttl(ttl), to_fields(record, schema)?)))
    }
}
