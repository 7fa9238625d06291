//! One server: its connections, and the scripts that it gets.
//!
//! Built by the backend, and by a cluster for each of its nodes.

use redis::{RedisError, RedisResult};

use super::{refused_length::RefusedLength, requests::CombiningQueues};
#[cfg(feature = "cluster")]
use crate::redis::pool::lazy_pool::LazyPool;
use crate::{
    redis::{
        connection::Connection,
        endpoint::Endpoint,
        pool::{Connections, concurrency_limit::ConcurrencyLimit, run_request::RetryPolicy},
        script::{Scripts, tags::TagScripts},
        single::moved_address,
        timeouts::Timeouts,
    },
    store::{Failure, FailureKind},
    util::worker::{NoThread, Worker},
};

/// The connections to a server, and the state that its requests share.
pub(crate) struct RedisStore {
    pub(super) connections: Connections,
    pub(crate) scripts: Scripts,
    pub(super) tag_scripts: TagScripts,
    pub(super) queues: CombiningQueues,
    /// Of the connections that requests from the queues use.
    pub(super) limit: ConcurrencyLimit,
    pub(super) refused_length: RefusedLength,
    /// How many replicas must have a change before it counts as done.
    pub(super) replicas: u32,
    /// Notices that another server has taken over.
    watch: Option<Worker>,
}

impl RedisStore {
    /// Adds this server to a failure, unless it already has one.
    #[cfg(feature = "cluster")]
    pub(crate) fn at_server(&self, failure: Failure) -> Failure {
        self.connections.at_server(failure)
    }

    /// Creates a store. Opens no connection.
    pub(crate) fn new(
        endpoint: impl Into<Endpoint>,
        pool_size: u32,
        timeouts: Timeouts,
        replicas: u32,
    ) -> RedisStore {
        RedisStore {
            connections: Connections::new(endpoint.into(), pool_size, timeouts),
            scripts: Scripts::new(),
            tag_scripts: TagScripts::new(),
            queues: CombiningQueues::default(),
            limit: ConcurrencyLimit::new(pool_size),
            refused_length: RefusedLength::default(),
            replicas,
            watch: None,
        }
    }

    /// The same store, not yet used, with this pool.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn on(self, pool: LazyPool) -> RedisStore {
        RedisStore {
            connections: self.connections.on(pool),
            ..self
        }
    }

    /// Adds a thread that notices when another server takes over without any sign on the
    /// connections to this one. The nodes of a cluster do not need it, because they redirect.
    /// [`start_watch`](RedisStore::start_watch) starts it.
    pub(crate) fn watched(self) -> RedisStore {
        #[cfg(feature = "sentinel")]
        let watch = match self.config().0.sentinel_master() {
            Some(sentinel_master) => sentinel_master.watch(),
            None => moved_address::watch(self.connections.clone()),
        };
        #[cfg(not(feature = "sentinel"))]
        let watch = moved_address::watch(self.connections.clone());
        RedisStore {
            watch: Some(watch),
            ..self
        }
    }

    /// Starts the thread that the store needs from the start, unless it was started before. Fails
    /// if the system has none. The pool is created at the first request: see `lazy_pool.rs`. The
    /// store is not used before this succeeds: without the watching thread, a process that only
    /// reads would not notice another server.
    pub(crate) fn start_watch(&self) -> Result<(), Failure> {
        let Some(watch) = &self.watch else {
            return Ok(());
        };
        watch.start_thread().map_err(|error| {
            let purpose = "notice another server";
            let failure = Failure::new(FailureKind::Unavailable, NoThread { purpose, error });
            self.connections.at_server(failure)
        })
    }

    /// The endpoint and the timeouts for a connection outside the pool.
    pub(crate) fn config(&self) -> (&Endpoint, Timeouts) {
        self.connections.config()
    }

    /// Whether the server refused a write because another server is the master by now.
    pub(super) fn is_demoted(&self, error: &RedisError) -> bool {
        self.config().0.is_demoted(error)
    }

    pub(crate) fn run<T>(
        &self,
        retry_policy: RetryPolicy,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.connections.run(retry_policy, run)
    }
}
