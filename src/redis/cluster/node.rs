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

use super::slots::{Place, Range, ranges};
use crate::{
    redis::{
        connect::elsewhere,
        endpoint::Source,
        error::{AtServer, Silent},
        pool::Conduct,
        script::nonsense,
        single::RedisStore,
        timeouts::Timeouts,
    },
    store::{Failure, Symptom},
    util::breaker::Breaker,
};

/// What all nodes have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// To each node.
    pub(crate) pool_size: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) breaker_threshold: u32,
    /// How many of its replicas must have what was ended before it counts.
    pub(crate) replicas: u32,
}

/// A node that was heard of in a redirection stays known for so long, though it has no slots: one that is being filled gets
/// its first when the move of that has ended.
const WITHOUT_SLOTS: Duration = Duration::from_secs(10);

pub(super) struct Node {
    pub(super) place: Place,
    pub(super) store: RedisStore,
    /// Turns away those who ask a node that is known not to answer. That of the link counts for all nodes together.
    breaker: Breaker,
    /// It has been waited for in vain, and has not answered since.
    is_silent: AtomicBool,
    /// In a redirection, the latest time.
    heard_of: Mutex<Option<Instant>>,
}

impl Node {
    pub(super) fn new(source: impl Into<Source>, place: Place, terms: Terms) -> Node {
        Node {
            place,
            store: RedisStore::new(source, terms.pool_size, terms.timeouts, terms.replicas),
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
            let symptom = Symptom::Silent;
            return Err(Failure { symptom, cause });
        }
        let failure = match step(&self.store) {
            Ok(answer) => {
                self.answered();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        match failure.symptom {
            Symptom::Silent => {
                if failure.cause.is::<Silent>() {
                    self.is_silent.store(true, Ordering::Relaxed);
                }
                let failure = self.named(failure);
                self.breaker.failed(&failure.clone().at("request"));
                Err(failure)
            }
            Symptom::Refused => {
                self.answered();
                Err(failure)
            }
            Symptom::Crowded | Symptom::Partly => Err(failure),
        }
    }

    /// Two loads where all is well.
    fn answered(&self) {
        self.breaker.succeeded();
        if self.is_silent.load(Ordering::Relaxed) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
    }

    /// With its address, since there are others.
    pub(super) fn named(&self, Failure { symptom, cause }: Failure) -> Failure {
        let address = self.place.to_string();
        let cause = Arc::new(AtServer {
            address,
            cause,
            hint: None,
        });
        Failure { symptom, cause }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether who asks it would wait in vain, for all that is known: then what others must not wait for isn't asked.
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
            .is_err_and(|failure| failure.symptom == Symptom::Refused)
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
        let state: String = self.store.run(Conduct::Repeatable, |connection| {
            cmd("CLUSTER").arg("INFO").query(connection)
        })?;
        if state.contains("cluster_state:fail") {
            let down = (
                ErrorKind::Server(ServerErrorKind::ClusterDown),
                "the cluster is down",
            );
            let down = Arc::new(redis::RedisError::from(down));
            let (symptom, cause) = (Symptom::Silent, down);
            return Err(Failure { symptom, cause });
        }
        Ok(())
    }
}

/// Which slots are whose, as the node at this address says it. On a connection of its own: that works also where all in
/// its pool are in use.
pub(super) fn slots_by(source: &Source, timeouts: Timeouts) -> Result<Vec<Range>, Failure> {
    let said_by = place_of(source.info());
    source.run_alone(timeouts, |opened| {
        let said: Value = cmd("CLUSTER").arg("SLOTS").query(&mut opened.connection)?;
        said_by
            .as_ref()
            .and_then(|said_by| ranges(said, said_by))
            .ok_or_else(|| nonsense("CLUSTER SLOTS answers with slots and their nodes"))
    })
}

/// Where an address leads; `None`: to no port.
pub(super) fn place_of(info: &ConnectionInfo) -> Option<Place> {
    let (host, port) = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        _ => return None,
    };
    Some(Place { host, port })
}

/// A client of another node: with the same login, by TLS if this one is.
pub(super) fn client_of(info: &ConnectionInfo, place: &Place) -> RedisResult<Client> {
    let (host, port) = (place.host.clone(), place.port);
    Client::open(info.clone().set_addr(elsewhere(info.addr(), host, port)))
}
