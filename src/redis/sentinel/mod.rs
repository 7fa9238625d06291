//! The server that the sentinels name as the master, through failovers.
//!
//! Guarantees that a connection leads to a server that reported to be the master when the
//! connection was opened. A [thread](watch) asks all sentinels every second. Soon after one
//! sentinel knows another master, no earlier connection is used any more. This holds even if the
//! former master still runs and reports to be the master. If no sentinel answers, the last known
//! master stays, as long as it reports to be one.
//!
//! Called by `endpoint.rs`. Knows nothing of pools and listeners: they compare
//! [epochs](ServerEpoch).
//!
//! # Lock order
//!
//! First `round`, then `known`, then the lock of the epoch. `resolver` is held alone. The sentinels
//! are asked while `round` is held. No request is sent while one of the others is held. Nothing is
//! logged while any of them is held: a logger is user code, and may read a cache on this master.

pub(crate) mod client;
pub(crate) mod election;
mod watch;

use std::{fmt, mem, sync::Arc};

use parking_lot::Mutex;
use redis::{ConnectionAddr, ProtocolVersion, RedisConnectionInfo};

use self::{
    client::{Sentinel, SentinelFailure},
    election::{Master, newest_master},
};
use super::{
    address::{resolver::Resolver, server_address::ServerAddress},
    opened::{Destination, Opened, open_at},
    reachability::{NoMasterNamed, NotReady},
    server::{
        epoch::{Opening, ServerEpoch},
        identity::Role,
    },
    timeouts::Timeouts,
};
use crate::{
    error::cause::chain,
    store::{Failure, FailureKind},
    telemetry::trace,
};

/// A master that sentinels know by a name.
#[derive(Debug)]
pub(crate) struct SentinelMaster {
    name: String,
    /// The login of the server. The address in it is that of a sentinel.
    login: ServerAddress,
    timeouts: Timeouts,
    /// The name of connections.
    client_name: Arc<str>,
    round: Mutex<Round>,
    known: Mutex<Option<Master>>,
    /// The resolver of the master's host, if the sentinels name it by a host name.
    resolver: Mutex<Option<Arc<Resolver<Opening>>>>,
    epoch: Arc<ServerEpoch>,
}

#[derive(Debug)]
struct Round {
    /// The sentinels. Those that answered the latest question come first.
    sentinels: Vec<Sentinel>,
    /// The outcome of the latest round.
    outcome: Result<(), Failure>,
}

/// The master was another server before a round.
struct Move {
    from: Master,
    to: Master,
}

/// When a round of questions ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// When one sentinel names another master than the known one: a caller waits for that.
    News,
    /// When all sentinels have been asked.
    All,
}

impl SentinelMaster {
    /// Creates the master without asking a sentinel. `name` is its name at the sentinels. The
    /// addresses in `sentinels` contain the login of the server. The sentinels may have another
    /// login.
    pub(crate) fn new(
        sentinels: Vec<ServerAddress>,
        name: String,
        sentinel_login: Option<&RedisConnectionInfo>,
        timeouts: Timeouts,
        client_name: Arc<str>,
    ) -> Arc<SentinelMaster> {
        // Does not panic: an address contains at least one sentinel.
        let login = sentinels[0].clone();
        let own = sentinel_login.cloned().unwrap_or_default();
        let named = |address| Sentinel::new(address, Arc::clone(&client_name));
        let sentinel = |address: ServerAddress| named(address.with_login(own.clone()));
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
            resolver: Mutex::default(),
            epoch: Arc::default(),
        })
    }

    pub(crate) fn login(&self) -> &ServerAddress {
        &self.login
    }

    pub(crate) fn client_name(&self) -> &Arc<str> {
        &self.client_name
    }

    pub(crate) fn epoch(&self) -> &Arc<ServerEpoch> {
        &self.epoch
    }

    /// Connects to the known master. If that fails, asks the sentinels and connects to the master
    /// that they name.
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
        // If no sentinel answers, the known master stays, and its refusal is returned.
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
        let address = self.login.elsewhere(host, port);
        let resolver = self.resolver_of(address.info().addr(), &master.host);
        let to = Destination {
            address: &address,
            client_name: &self.client_name,
            epoch: &self.epoch,
            opening,
            resolver: resolver.as_deref(),
        };
        open_at(to, timeouts, protocol, |role| match role {
            Some(Role::Master) => Ok(()),
            Some(Role::Replica) => Err(Failure::new(FailureKind::Unavailable, REPLICA)),
            None => Err(Failure::new(FailureKind::Unavailable, NO_ROLE)),
        })
    }

    /// Another host gets another resolver. So it is not delayed by a name that no longer exists.
    fn resolver_of(&self, to: &ConnectionAddr, host: &str) -> Option<Arc<Resolver<Opening>>> {
        let mut resolver = self.resolver.lock();
        if resolver.as_ref().is_none_or(|known| known.host != host) {
            *resolver = Resolver::of(to).map(Arc::new);
        }
        resolver.clone()
    }

    fn known(&self) -> Option<Master> {
        self.known.lock().clone()
    }

    /// Asks the sentinels. If another thread is asking, waits for its result instead. Fails if no
    /// sentinel names a master.
    fn ask_round(&self, until: Until) -> Result<(), Failure> {
        let Some(mut round) = self.round.try_lock() else {
            // The other thread's answers are as recent as ours would be.
            return self.round.lock().outcome.clone();
        };
        let (mut said, mut failures) = (Vec::new(), Vec::new());
        let mut moves = Vec::new();
        for sentinel in &mut round.sentinels {
            match sentinel.ask(&self.name, self.timeouts) {
                Ok(master) => said.push(master),
                Err(failure) => failures.push(failure),
            }
            let is_other = self.apply(&said, false, &mut moves);
            if is_other && until == Until::News {
                break;
            }
        }
        if said.len() == round.sentinels.len() {
            self.apply(&said, true, &mut moves);
        }
        round.sentinels.sort_by_key(|sentinel| sentinel.is_silent);
        let outcome = if said.is_empty() {
            Err(SentinelMaster::nobody(&failures))
        } else {
            Ok(())
        };
        let was_silent = mem::replace(&mut round.outcome, outcome.clone()).is_err();
        drop(round);
        self.log_round(&moves, was_silent, &outcome);
        outcome
    }

    /// Applies the sentinels' answers. Returns whether the master is now another server. Adds that
    /// change to `moves` if a master was known before.
    fn apply(&self, said: &[Master], is_all: bool, moves: &mut Vec<Move>) -> bool {
        let mut known = self.known.lock();
        let Some(master) = newest_master(known.as_ref(), said, is_all) else {
            return false;
        };
        let is_other = known.as_ref().is_none_or(|known| !known.is_at(&master));
        if is_other && let Some(from) = known.take() {
            let to = master.clone();
            moves.push(Move { from, to });
            // Before the new master is visible. A thread that reads its address later then opens a
            // connection in the next epoch.
            self.epoch.retire(self.epoch.current());
        }
        *known = Some(master);
        is_other
    }

    /// Logs what a round has changed. Call it with no lock held.
    fn log_round(&self, moves: &[Move], was_silent: bool, outcome: &Result<(), Failure>) {
        let name = &self.name;
        for Move { from, to } in moves {
            trace::info!(
                "the master `{name}` is at {}:{} now; it was at {}:{}",
                to.host,
                to.port,
                from.host,
                from.port
            );
        }
        match outcome {
            // Without a known master, no failover can be missed.
            Err(failure) if !was_silent && self.known().is_some() => trace::warn!(
                "a failover of the master `{name}` would not be noticed: {}",
                chain(failure)
            ),
            Ok(()) if was_silent => trace::info!("sentinels of the master `{name}` answer again"),
            _ => {}
        }
    }

    fn nobody(failures: &[SentinelFailure]) -> Failure {
        let texts: Vec<_> = failures.iter().map(|it| &*it.text).collect();
        let cause = NoMasterNamed {
            failures: texts.join("; "),
            is_away: failures.iter().all(|failure| failure.is_away),
        };
        Failure::new(FailureKind::Unavailable, cause)
    }
}

impl fmt::Display for SentinelMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "master `{}`", self.name)?;
        match self.known() {
            Some(Master { host, port, .. }) => write!(f, " at {host}:{port}"),
            None => Ok(()),
        }
    }
}

/// Why a server that sentinels call the master is not used.
const REPLICA: NotReady =
    NotReady("the server says that it is a replica, and no sentinel knows another master yet");
const NO_ROLE: &str = "the server does not say whether it is a master; without HELLO, the user needs the permission `+role`";
