//! The server that sentinels call the master, through failovers.
//!
//! Guarantees that a connection leads to a server which called itself the master when it was
//! opened. A thread asks all sentinels every [`PERIOD`]. Soon after one of them knows another
//! master, no earlier connection is used any more, also where the former master still runs and
//! calls itself the master. Where no sentinel answers, the last known master stays the master, as
//! long as it calls itself one.
//!
//! Knows nothing of pools and listeners: they compare [epochs](ServerEpoch).
//!
//! # Lock order
//!
//! `round`, then `known`, then that of the epoch. The sentinels are asked while the first one is
//! held. Nothing is sent while the others are.

pub(crate) mod client;
pub(crate) mod election;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{ConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use self::{
    client::{Complaint, Sentinel},
    election::{Master, newest_master},
};
use super::{
    connect::elsewhere,
    opened::{Destination, Opened, open_at},
    reachability::{NoMasterNamed, NotReady},
    server_epoch::{Opening, ServerEpoch},
    server_identity::Role,
    timeouts::Timeouts,
};
use crate::{
    store::{Failure, FailureKind},
    telemetry::trace,
    util::worker::{Worker, WorkerContext},
};

/// The longest pause between two rounds of questions. A change is noticed this much late at most; a
/// failover takes seconds anyway. In each round a sentinel gets two small questions.
const PERIOD: Duration = Duration::from_secs(1);

/// A server that has a name.
#[derive(Debug)]
pub(crate) struct SentinelMaster {
    name: String,
    /// How to log in to the server; the address in it is a sentinel's.
    login: ConnectionInfo,
    timeouts: Timeouts,
    /// What connections call themselves.
    client_name: Arc<str>,
    round: Mutex<Round>,
    known: Mutex<Option<Master>>,
    epoch: Arc<ServerEpoch>,
    /// Whether it was logged that no sentinel answers.
    is_blind: AtomicBool,
}

#[derive(Debug)]
struct Round {
    /// Those that answered the latest question come first.
    sentinels: Vec<Sentinel>,
    /// Of the latest questions.
    outcome: Result<(), Failure>,
}

/// How long to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until one of them knows another master. A caller waits for that.
    News,
    /// Until all have been asked.
    All,
}

impl SentinelMaster {
    /// Asks no sentinel yet. `name` is how the sentinels call the server. The addresses in
    /// `sentinels` have the login of the server; the sentinels may have a login of their own.
    pub(crate) fn new(
        sentinels: Vec<ConnectionInfo>,
        name: String,
        sentinel_login: Option<&RedisConnectionInfo>,
        timeouts: Timeouts,
        client_name: Arc<str>,
    ) -> Arc<SentinelMaster> {
        // An address names at least one.
        let login = sentinels[0].clone();
        let own = sentinel_login.cloned().unwrap_or_default();
        let own = own.set_skip_set_lib_name();
        let sentinel = |info: ConnectionInfo| {
            let info = info.set_redis_settings(own.clone());
            Sentinel::new(info, Arc::clone(&client_name))
        };
        Arc::new(SentinelMaster {
            name,
            login,
            timeouts,
            round: Mutex::new(Round {
                sentinels: sentinels.into_iter().map(sentinel).collect(),
                outcome: Ok(()),
            }),
            client_name,
            known: Mutex::default(),
            epoch: Arc::default(),
            is_blind: AtomicBool::new(false),
        })
    }

    pub(crate) fn login(&self) -> &ConnectionInfo {
        &self.login
    }

    pub(crate) fn client_name(&self) -> &Arc<str> {
        &self.client_name
    }

    pub(crate) fn epoch(&self) -> &Arc<ServerEpoch> {
        &self.epoch
    }

    /// Goes on asking, until the returned worker is dropped.
    pub(crate) fn watch(self: &Arc<SentinelMaster>) -> Option<Worker> {
        let sentinel_master = Arc::clone(self);
        let run = move |context: &WorkerContext| {
            while !context.pause(PERIOD) {
                let _ = sentinel_master.ask_round(Until::All);
            }
        };
        Worker::start("cache-aside-sentinel", run)
            .inspect_err(|error| trace::error!("there is no thread to ask sentinels with: {error}"))
            .ok()
    }

    /// Connects to the known master. If that fails, asks for the present one and connects to it.
    pub(crate) fn open(
        &self,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<Opened, Failure> {
        let opening = self.epoch.opening();
        let known = if let Some(known) = self.known() {
            known
        } else {
            self.ask_round(Until::All)?;
            self.known().ok_or_else(|| SentinelMaster::nobody(&[]))?
        };
        let refused = match self.open_at(&known, opening, timeouts, protocol) {
            Ok(opened) => return Ok(opened),
            Err(refused) => refused,
        };
        // If no sentinel answers, the known master stays the same, and the refusal is returned.
        let _ = self.ask_round(Until::News);
        let opening = self.epoch.opening();
        match self.known() {
            Some(master) if !master.is_at(&known) => {
                self.open_at(&master, opening, timeouts, protocol)
            }
            _ => Err(refused),
        }
    }

    fn open_at(
        &self,
        master: &Master,
        opening: Opening,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<Opened, Failure> {
        let (host, port) = (master.host.clone(), master.port);
        let address = elsewhere(self.login.addr(), host, port);
        let info = self.login.clone().set_addr(address);
        let to = Destination {
            info: &info,
            client_name: &self.client_name,
            epoch: &self.epoch,
            opening,
        };
        open_at(to, timeouts, protocol, |role| match role {
            Some(Role::Master) => Ok(()),
            Some(Role::Replica) => Err(Failure::new(FailureKind::Unavailable, REPLICA)),
            None => Err(Failure::new(FailureKind::Unavailable, NO_ROLE)),
        })
    }

    fn known(&self) -> Option<Master> {
        self.known.lock().clone()
    }

    /// Asks the sentinels, or waits for another thread that does. Fails if none of them names a
    /// master.
    fn ask_round(&self, until: Until) -> Result<(), Failure> {
        let Some(mut round) = self.round.try_lock() else {
            // The answers that another thread gets now are as new.
            return self.round.lock().outcome.clone();
        };
        let mut said = Vec::new();
        let mut complaints = Vec::new();
        for sentinel in &mut round.sentinels {
            match sentinel.ask(&self.name, self.timeouts) {
                Ok(master) => said.push(master),
                Err(complaint) => complaints.push(complaint),
            }
            if self.apply(&said, false) && until == Until::News {
                break;
            }
        }
        if said.len() == round.sentinels.len() {
            self.apply(&said, true);
        }
        round.sentinels.sort_by_key(|sentinel| sentinel.is_silent);
        round.outcome = if said.is_empty() {
            Err(SentinelMaster::nobody(&complaints))
        } else {
            Ok(())
        };
        self.complain(&round.outcome);
        round.outcome.clone()
    }

    /// Applies what was said about the master. Returns whether that is another server than before.
    fn apply(&self, said: &[Master], is_all: bool) -> bool {
        let mut known = self.known.lock();
        let Some(master) = newest_master(known.as_ref(), said, is_all) else {
            return false;
        };
        let is_other = known.as_ref().is_none_or(|known| !known.is_at(&master));
        if is_other && let Some(before) = &*known {
            trace::info!(
                "the master `{}` is at {}:{} now; it was at {}:{}",
                self.name,
                master.host,
                master.port,
                before.host,
                before.port
            );
            // Before the new master is visible: a thread that reads its address later opens a
            // connection in the next epoch.
            self.epoch.retire(self.epoch.current());
        }
        *known = Some(master);
        is_other
    }

    fn complain(&self, outcome: &Result<(), Failure>) {
        let was_blind = self.is_blind.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            // Without a known master there is no failover to miss.
            Err(failure) if !was_blind && self.known.lock().is_some() => {
                trace::warn!("a failover would not be noticed: {failure}");
            }
            Ok(()) if was_blind => trace::info!("sentinels answer again"),
            _ => {}
        }
    }

    fn nobody(complaints: &[Complaint]) -> Failure {
        let texts: Vec<_> = complaints.iter().map(|it| &*it.text).collect();
        let cause = NoMasterNamed {
            complaints: texts.join("; "),
            is_away: complaints.iter().all(|complaint| complaint.is_away),
        };
        Failure::new(FailureKind::Unavailable, cause)
    }
}

impl fmt::Display for SentinelMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "master `{}`", self.name)?;
        match &*self.known.lock() {
            Some(Master { host, port, .. }) => write!(f, " at {host}:{port}"),
            None => Ok(()),
        }
    }
}

/// Why a server that sentinels call the master is not used.
const REPLICA: NotReady =
    NotReady("it calls itself a replica, and no sentinel knows another master yet");
const NO_ROLE: &str = "it doesn't say whether it is a master; where it doesn't know HELLO, that takes the permission `+role`";
