//! One server: the connections to it, and the scripts it is told.

use redis::{Connection, RedisError, RedisResult};

use super::{large_records::RefusedLength, requests::Crowds};
use crate::{
    redis::{
        endpoint::Source,
        moved_address,
        pool::{Conduct, Connections},
        script::Scripts,
        timeouts::Timeouts,
    },
    store::Failure,
    util::worker::Handle,
};

/// What is known of it, and how it is asked.
pub(crate) struct RedisStore {
    pub(super) connections: Connections,
    pub(crate) scripts: Scripts,
    pub(super) crowds: Crowds,
    pub(super) refused_length: RefusedLength,
    /// How many of them must have what was ended before it counts.
    pub(super) replicas: u32,
    /// Notices that another server has taken over.
    _watch: Option<Handle>,
}

impl RedisStore {
    /// Opens no connection.
    pub(crate) fn new(
        source: impl Into<Source>,
        pool_size: u32,
        timeouts: Timeouts,
        replicas: u32,
    ) -> RedisStore {
        RedisStore {
            connections: Connections::new(source.into(), pool_size, timeouts),
            scripts: Scripts::new(),
            crowds: Crowds::default(),
            refused_length: RefusedLength::default(),
            replicas,
            _watch: None,
        }
    }

    /// With a thread that notices when another server takes over, though nothing says so on the
    /// connections to this one. The nodes of a cluster don't need it: they redirect.
    pub(crate) fn watched(self) -> RedisStore {
        #[cfg(feature = "sentinel")]
        if let Some(followed) = self.terms().0.followed() {
            let watch = followed.watch();
            return self.with(watch);
        }
        let watch = moved_address::watch(self.connections.clone());
        self.with(watch)
    }

    fn with(self, watch: Option<Handle>) -> RedisStore {
        RedisStore {
            _watch: watch,
            ..self
        }
    }

    /// What a connection outside the pool is made of.
    pub(crate) fn terms(&self) -> (&Source, Timeouts) {
        self.connections.terms()
    }

    /// Whether it refused a write because another server is the master by now.
    pub(super) fn is_demoted(&self, error: &RedisError) -> bool {
        self.terms().0.is_demoted(error)
    }

    pub(crate) fn run<T>(
        &self,
        conduct: Conduct,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.connections.run(conduct, run)
    }
}
