//! What one cache is made of. Shared by all its handles, used by the read path and the write paths.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use crate::{
    error::Error,
    fields::{Fields, from_fields},
    flight::Flights,
    keeper::Keeper,
    key::Keys,
    stats::Counters,
    store::Store,
    token::Token,
};

/// The settings of a cache, checked by its builder, which documents them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    pub(crate) lease_ttl: Duration,
    pub(crate) max_load_time: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) fail_on_wait_timeout: bool,
    pub(crate) poll: Duration,
    pub(crate) keep_ttl_on_update: bool,
}

/// What a load comes to, as its leader and all its followers get it. `Ok(None)`: there is no such record.
pub(crate) type Outcome<R> = Result<Option<Arc<R>>, Error>;

pub(crate) struct Inner<R> {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    /// Loads under a lease, by its token.
    pub(crate) flights: Flights<Token, Outcome<R>>,
    /// Loads without Redis, by data key.
    pub(crate) degraded: Flights<String, Outcome<R>>,
    pub(crate) keeper: Keeper,
    pub(crate) counters: Arc<Counters>,
}

impl<R> Inner<R> {
    pub(crate) fn new(settings: Settings, store: Arc<dyn Store>) -> Inner<R> {
        let counters = Arc::new(Counters::default());
        Inner {
            keeper: Keeper::new(
                Arc::clone(&store),
                Arc::clone(&counters),
                settings.lease_ttl,
            ),
            settings,
            store,
            flights: Flights::new(),
            degraded: Flights::new(),
            counters,
        }
    }

    /// The key of the record with this id.
    pub(crate) fn data_key(&self, id: &str) -> Result<String, Error> {
        if id.is_empty() {
            return Err(Error::Id {
                reason: "it is empty",
            });
        }
        let prefix = &self.settings.prefix;
        let mut key = String::with_capacity(prefix.len() + id.len());
        key.push_str(prefix);
        key.push_str(id);
        Ok(key)
    }

    /// The keys of the record and of its lease.
    pub(crate) fn keys(&self, id: &str) -> Result<Keys, Error> {
        self.data_key(id).map(Keys::of)
    }

    /// The record in an entry; `None`, and counted, where it is of another type.
    pub(crate) fn decode(&self, fields: Fields) -> Option<R>
    where
        R: DeserializeOwned,
    {
        let record = from_fields(fields).ok();
        if record.is_none() {
            self.counters.unreadable.add_one();
        }
        record
    }

    /// Counts a request to the store that failed.
    pub(crate) fn counted<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Redis { .. }) = &answer {
            self.counters.redis_errors.add_one();
        }
        answer
    }

    /// When somebody who waits for another's load stops waiting.
    pub(crate) fn patience_from(&self, began: Instant) -> Instant {
        began + self.settings.wait_timeout
    }
}
