//! One node of a cluster: its store, and whether it answers.
//!
//! Called by the store on a cluster and by the topology. Knows nothing of other nodes.
//!
//! No user code runs under its lock, which guards an instant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, ServerErrorKind, Value, cmd};

use super::slots::{Range, ranges};
use crate::{
    redis::{
        address::node_address::NodeAddress,
        endpoint::Endpoint,
        error::Timeout,
        invalid_reply::invalid_reply,
        pool::{lazy_pool::LazyPool, run_request::RetryPolicy},
        single::RedisStore,
        timeouts::Timeouts,
    },
    store::{Failure, FailureKind},
    util::breaker::Breaker,
};

/// The settings that all nodes share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeConfig {
    /// The number of connections to each node.
    pub(crate) pool_size: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) breaker_threshold: u32,
    /// How many replicas of a node must have a change before it counts as done.
    pub(crate) replicas: u32,
}

/// How long a node without slots stays known after it was named in a redirection. A new node owns
/// its first slot only when the move of that slot has ended.
const WITHOUT_SLOTS: Duration = Duration::from_secs(10);

pub(super) struct Node {
    pub(super) address: NodeAddress,
    /// Whether the program or a report of the slots has named this node. Otherwise only a
    /// redirection has (`ASK`), and the node is never asked for the slots.
    pub(super) is_confirmed: bool,
    pub(super) store: RedisStore,
    /// Refuses requests to a node that is known not to answer. (The breaker of the client counts
    /// the failures of all nodes together.)
    breaker: Breaker,
    /// Whether a request has timed out, and the node has not answered since.
    is_silent: AtomicBool,
    /// When the node was last named in a redirection.
    redirected_at: Mutex<Option<Instant>>,
}

impl Node {
    /// Creates a node that the program or a report of the slots has named. `pool`: where its
    /// connections will be.
    pub(super) fn new(
        endpoint: Endpoint,
        address: NodeAddress,
        config: NodeConfig,
        pool: LazyPool,
    ) -> Node {
        let store = RedisStore::new(endpoint, config.pool_size, config.timeouts, config.replicas);
        Node {
            address,
            is_confirmed: true,
            store: store.on(pool),
            breaker: Breaker::new(config.breaker_threshold),
            is_silent: AtomicBool::new(false),
            redirected_at: Mutex::default(),
        }
    }

    /// The same for a node that only a redirection has named, a moment ago.
    pub(super) fn unconfirmed(
        endpoint: Endpoint,
        address: NodeAddress,
        config: NodeConfig,
        pool: LazyPool,
    ) -> Node {
        let node = Node::new(endpoint, address, config, pool);
        node.record_redirect();
        Node {
            is_confirmed: false,
            ..node
        }
    }

    /// Records that another node redirected a request to this one.
    pub(super) fn record_redirect(&self) {
        *self.redirected_at.lock() = Some(Instant::now());
    }

    /// Whether another node recently redirected a request to this one.
    pub(super) fn was_redirected_to(&self) -> bool {
        let redirected_at = *self.redirected_at.lock();
        redirected_at.is_some_and(|at| at.elapsed() < WITHOUT_SLOTS)
    }

    /// Sends a request to the node, unless it is known not to answer.
    pub(super) fn ask<T>(
        &self,
        step: impl FnOnce(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(cause) = self.breaker.refusal() {
            let kind = FailureKind::Unavailable;
            return Err(Failure { kind, cause });
        }
        let failure = match step(&self.store) {
            Ok(answer) => {
                self.answered();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        match failure.kind {
            FailureKind::Unavailable => {
                if failure.cause::<Timeout>().is_some() {
                    self.is_silent.store(true, Ordering::Relaxed);
                }
                self.breaker.failed(&failure.clone().at("request"));
                Err(failure)
            }
            FailureKind::Rejected => {
                self.answered();
                Err(failure)
            }
            FailureKind::Saturated | FailureKind::Partial => Err(failure),
        }
    }

    /// Records an answer. Costs two atomic loads in normal operation.
    fn answered(&self) {
        self.breaker.succeeded();
        if self.is_silent.load(Ordering::Relaxed) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether a request to this node would probably time out. Work that would delay other work is
    /// then not sent to it.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed) || self.is_broken()
    }

    /// Whether the latest request to the node failed. It is then probed.
    pub(super) fn is_suspect(&self) -> bool {
        self.breaker.has_failed()
    }

    /// Checks whether the node works again, and records the result.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        let mut probed = self.is_well();
        if probed
            .as_ref()
            .is_err_and(|failure| failure.kind == FailureKind::Rejected)
        {
            // A refusal is also an answer: the user may not ask for the state of the cluster.
            probed = Ok(());
        }
        if probed.is_ok() {
            self.breaker.close();
            self.is_silent.store(false, Ordering::Relaxed);
        }
        probed
    }

    /// Whether the node serves requests. A node that is cut off from the others still answers a
    /// `PING`.
    fn is_well(&self) -> Result<(), Failure> {
        let state: String = self.store.run(RetryPolicy::Idempotent, |connection| {
            cmd("CLUSTER").arg("INFO").query(connection)
        })?;
        if state.contains("cluster_state:fail") {
            let down = (
                ErrorKind::Server(ServerErrorKind::ClusterDown),
                "the cluster is down",
            );
            let down = Arc::new(redis::RedisError::from(down));
            let (kind, cause) = (FailureKind::Unavailable, down);
            return Err(Failure { kind, cause });
        }
        Ok(())
    }
}

/// The assignment of slots, as reported by the node at this address. Uses a separate connection, so
/// that it works even if all connections of the pool are in use.
pub(super) fn slots_by(endpoint: &Endpoint, timeouts: Timeouts) -> Result<Vec<Range>, Failure> {
    let reported_by = address_of(endpoint.info());
    endpoint.run_alone(timeouts, |opened| {
        let said: Value = cmd("CLUSTER").arg("SLOTS").query(&mut opened.connection)?;
        reported_by
            .as_ref()
            .and_then(|reported_by| ranges(said, reported_by))
            .ok_or_else(|| invalid_reply("CLUSTER SLOTS answers with slots and their nodes"))
    })
}

/// The host and port of an address. `None`: it has no port.
pub(super) fn address_of(info: &ConnectionInfo) -> Option<NodeAddress> {
    let (host, port) = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        _ => return None,
    };
    Some(NodeAddress { host, port })
}

#[cfg(test)]
pub(super) mod testing {
    use redis::IntoConnectionInfo;

    use super::*;
    use crate::redis::address::server_address::{ServerAddress, Tls};

    const LONG: Duration = Duration::from_secs(20);

    const CONFIG: NodeConfig = NodeConfig {
        pool_size: 1,
        timeouts: Timeouts {
            checkout: LONG,
            connect: LONG,
            io: LONG,
            request: LONG,
            idle: LONG,
            keepalive: LONG,
            max_reply: 1024,
        },
        breaker_threshold: 1,
        replicas: 0,
    };

    /// A node to which nothing connects. It has no threads.
    pub(in crate::redis::cluster) fn node(address: &NodeAddress) -> Arc<Node> {
        let pool = LazyPool::default();
        Arc::new(Node::new(endpoint(address), address.clone(), CONFIG, pool))
    }

    pub(in crate::redis::cluster) fn unconfirmed(address: &NodeAddress) -> Arc<Node> {
        let (endpoint, pool) = (endpoint(address), LazyPool::default());
        Arc::new(Node::unconfirmed(endpoint, address.clone(), CONFIG, pool))
    }

    /// As if the last redirection to the node had been long ago.
    pub(in crate::redis::cluster) fn forget_redirect(node: &Node) {
        *node.redirected_at.lock() = None;
    }

    fn endpoint(address: &NodeAddress) -> Endpoint {
        let info = (&*address.host, address.port).into_connection_info();
        let address = ServerAddress::new(info.unwrap(), &Tls::default());
        Endpoint::at(address, "test".into())
    }
}
