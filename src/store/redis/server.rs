//! One server: the connections to it, and the scripts it is told.

use redis::{Connection, RedisResult};

use super::{large::RefusedLength, question::Crowds};
#[cfg(feature = "sentinel")]
use crate::store::end::Handle;
use crate::store::{
    Failure,
    connection::{Conduct, Connections},
    script::Scripts,
    source::Source,
    timeouts::Timeouts,
};

/// What is known of it, and how it is asked.
pub(crate) struct RedisStore {
    pub(super) connections: Connections,
    pub(in crate::store) scripts: Scripts,
    pub(super) crowds: Crowds,
    pub(super) refused_length: RefusedLength,
    /// How many of them must have what was ended before it counts.
    pub(super) replicas: u32,
    /// Who asks the sentinels.
    #[cfg(feature = "sentinel")]
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
        let source = source.into();
        RedisStore {
            #[cfg(feature = "sentinel")]
            _watch: match &source {
                Source::Fixed(_) => None,
                Source::Followed(followed) => followed.watch(),
            },
            connections: Connections::new(source, pool_size, timeouts),
            scripts: Scripts::new(),
            crowds: Crowds::default(),
            refused_length: RefusedLength::default(),
            replicas,
        }
    }

    /// What a connection outside the pool is made of.
    pub(in crate::store) fn terms(&self) -> (&Source, Timeouts) {
        self.connections.terms()
    }

    pub(in crate::store) fn run<T>(
        &self,
        conduct: Conduct,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.connections.run(conduct, run)
    }
}
