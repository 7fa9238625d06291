//! One node: the store on it, and whether it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult, ServerErrorKind, Value, cmd,
};

use super::slots::{Range, ranges};
use crate::{
    redis::{
        connect::elsewhere, endpoint::Endpoint, error::Timeout, node_address::NodeAddress,
        pool::RetryPolicy, script::nonsense, single::RedisStore, timeouts::Timeouts,
    },
    store::{Failure, FailureKind},
    util::breaker::Breaker,
};

/// What all nodes have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeConfig {
    /// To each node.
    pub(crate) pool_size: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) breaker_threshold: u32,
    /// How many of its replicas must have what was ended before it counts.
    pub(crate) replicas: u32,
}

/// A node that was heard of in a redirection stays known for so long, though it has no slots: one
/// that is being filled gets its first when the move of that has ended.
const WITHOUT_SLOTS: Duration = Duration::from_secs(10);

pub(super) struct Node {
    pub(super) address: NodeAddress,
    pub(super) store: RedisStore,
    /// Turns away those who ask a node that is known not to answer. That of the client counts for
    /// all nodes together.
    breaker: Breaker,
    /// It has been waited for in vain, and has not answered since.
    is_silent: AtomicBool,
    /// In a redirection, the latest time.
    heard_of: Mutex<Option<Instant>>,
}

impl Node {
    pub(super) fn new(
        endpoint: impl Into<Endpoint>,
        address: NodeAddress,
        terms: NodeConfig,
    ) -> Node {
        Node {
            address,
            store: RedisStore::new(endpoint, terms.pool_size, terms.timeouts, terms.replicas),
            breaker: Breaker::new(terms.breaker_threshold),
            is_silent: AtomicBool::new(false),
            heard_of: Mutex::default(),
        }
    }

    /// Another node sent us here.
    pub(super) fn hear_of(&self) {
        *self.heard_of.lock() = Some(Instant::now());
    }

    /// Whether one did of late.
    pub(super) fn is_heard_of(&self) -> bool {
        let heard_of = *self.heard_of.lock();
        heard_of.is_some_and(|at| at.elapsed() < WITHOUT_SLOTS)
    }

    /// Asks it, unless it is known not to answer.
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

    /// Two loads where all is well.
    fn answered(&self) {
        self.breaker.succeeded();
        if self.is_silent.load(Ordering::Relaxed) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether who asks it would wait in vain, for all that is known: then what others must not
    /// wait for isn't asked.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed) || self.is_broken()
    }

    /// Whether the latest request that it was sent failed: then it is probed.
    pub(super) fn is_suspect(&self) -> bool {
        self.breaker.has_failed()
    }

    /// Has it asked again if it is in order.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        let mut probed = self.is_well();
        if probed
            .as_ref()
            .is_err_and(|failure| failure.kind == FailureKind::Rejected)
        {
            // An answer, too: to a user who may not ask for the state of the cluster.
            probed = Ok(());
        }
        if probed.is_ok() {
            self.breaker.close();
            self.is_silent.store(false, Ordering::Relaxed);
        }
        probed
    }

    /// Whether it does what it is asked. One that is cut off from the others answers a `PING`.
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

/// Which slots are whose, as the node at this address says it. On a connection of its own: that
/// works also where all in its pool are in use.
pub(super) fn slots_by(endpoint: &Endpoint, timeouts: Timeouts) -> Result<Vec<Range>, Failure> {
    let reported_by = address_of(endpoint.info());
    endpoint.run_alone(timeouts, |opened| {
        let said: Value = cmd("CLUSTER").arg("SLOTS").query(&mut opened.connection)?;
        reported_by
            .as_ref()
            .and_then(|reported_by| ranges(said, reported_by))
            .ok_or_else(|| nonsense("CLUSTER SLOTS answers with slots and their nodes"))
    })
}

/// Where an address leads; `None`: to no port.
pub(super) fn address_of(info: &ConnectionInfo) -> Option<NodeAddress> {
    let (host, port) = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        _ => return None,
    };
    Some(NodeAddress { host, port })
}

/// A client of another node: with the same login, by TLS if this one is.
pub(super) fn client_of(info: &ConnectionInfo, address: &NodeAddress) -> RedisResult<Client> {
    let (host, port) = (address.host.clone(), address.port);
    Client::open(info.clone().set_addr(elsewhere(info.addr(), host, port)))
}
