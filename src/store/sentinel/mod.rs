//! The server that sentinels call the master, through failovers.
//!
//! Guarantees that a connection leads to a server which called itself the master when it was opened; and, by a thread that
//! asks all sentinels every [`PERIOD`], that soon after one of them knows another master, nothing that was opened before is
//! used any more, also where the former one still lives and takes itself for the master. Where no sentinel answers, the
//! master that was known last goes on being it, as long as it says so itself.
//!
//! Knows nothing of pools and listeners: they compare [terms](Followed::term).
//!
//! # Lock order
//!
//! `round`, then `known`. While the first is held the sentinels are asked; nothing is while the second is.

mod asked;
mod verdict;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    Connection, ConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult,
    Value, cmd,
};

use asked::Sentinel;
use verdict::{Master, verdict};

use super::{
    Failure, Symptom, cause,
    end::{End, Handle},
    open::{elsewhere, open},
    timeouts::Timeouts,
};
use crate::trace;

/// The longest pause between two rounds of questions. What a change is seen late by at most; a failover takes sentinels
/// seconds anyway, and they are asked two small questions each in that time.
const PERIOD: Duration = Duration::from_secs(1);

/// A server that has a name.
#[derive(Debug)]
pub(crate) struct Followed {
    name: String,
    /// How to log in to the server; the address in it is a sentinel's.
    login: ConnectionInfo,
    timeouts: Timeouts,
    round: Mutex<Round>,
    known: Mutex<Option<Master>>,
    /// Changed under the lock of `known`.
    term: AtomicU64,
    /// Whether it was logged that no sentinel answers.
    is_blind: AtomicBool,
}

#[derive(Debug)]
struct Round {
    /// Those who answered last come first.
    sentinels: Vec<Sentinel>,
    /// Of the latest questions.
    outcome: Result<(), Failure>,
}

/// How long to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// One of them knows of another master: who asks waits for that.
    News,
    /// All have been asked.
    All,
}

impl Followed {
    /// Asks nobody yet. All the addresses have the login of the server, whose name the sentinels know; that of the sentinels
    /// is another, if they have one.
    pub(crate) fn new(
        sentinels: Vec<ConnectionInfo>,
        name: String,
        sentinel_login: Option<&RedisConnectionInfo>,
        timeouts: Timeouts,
    ) -> Arc<Followed> {
        // An address names one at least.
        let login = sentinels[0].clone();
        let own = sentinel_login.cloned().unwrap_or_default();
        let own = own.set_skip_set_lib_name();
        let sentinel = |info: ConnectionInfo| Sentinel::new(info.set_redis_settings(own.clone()));
        Arc::new(Followed {
            name,
            login,
            timeouts,
            round: Mutex::new(Round {
                sentinels: sentinels.into_iter().map(sentinel).collect(),
                outcome: Ok(()),
            }),
            known: Mutex::default(),
            term: AtomicU64::new(0),
            is_blind: AtomicBool::new(false),
        })
    }

    pub(super) fn login(&self) -> &ConnectionInfo {
        &self.login
    }

    pub(super) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// Goes on asking, until what this returns is dropped.
    pub(super) fn watch(self: &Arc<Followed>) -> Option<Handle> {
        let followed = Arc::clone(self);
        let run = move |end: &End| {
            while !end.is_near_within(PERIOD) {
                let _ = followed.ask_round(Until::All);
            }
        };
        Handle::start("cache-aside-sentinel", run)
            .inspect_err(|error| trace::error!("there is no thread to ask sentinels with: {error}"))
            .ok()
    }

    /// Connects to the master; and where the one that was known is gone, or is none, to who is it now.
    pub(super) fn open(
        &self,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<(Connection, u64), Failure> {
        let (master, term) = if let Some(known) = self.known() {
            known
        } else {
            self.ask_round(Until::All)?;
            self.known().ok_or_else(|| Followed::nobody(&[]))?
        };
        let refused = match self.open_at(&master, timeouts, protocol) {
            Ok(connection) => return Ok((connection, term)),
            Err(refused) => refused,
        };
        // Where no sentinel answers, that is no news.
        let _ = self.ask_round(Until::News);
        match self.known() {
            Some((master, later)) if later != term => {
                let connection = self.open_at(&master, timeouts, protocol)?;
                Ok((connection, later))
            }
            _ => Err(refused),
        }
    }

    fn open_at(
        &self,
        master: &Master,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<Connection, Failure> {
        let (host, port) = (master.host.clone(), master.port);
        let address = elsewhere(self.login.addr(), host, port);
        let info = self.login.clone().set_addr(address);
        let unopened = |error| cause::unopened(error, timeouts.connect);
        let mut connection = open(&info, timeouts, protocol).map_err(unopened)?;
        match is_master(&mut connection) {
            Ok(true) => Ok(connection),
            Ok(false) => Err(Failure::new(Symptom::Silent, NoMaster)),
            Err(error) => Err(Failure {
                symptom: Symptom::Silent,
                ..cause::failure(error, timeouts.io)
            }),
        }
    }

    fn known(&self) -> Option<(Master, u64)> {
        let known = self.known.lock();
        let master = known.clone()?;
        Some((master, self.term.load(Ordering::Acquire)))
    }

    /// Asks the sentinels, or waits for somebody who does. Fails where none of them names a master.
    fn ask_round(&self, until: Until) -> Result<(), Failure> {
        let Some(mut round) = self.round.try_lock() else {
            // What somebody else hears now is as new.
            return self.round.lock().outcome.clone();
        };
        let mut said = Vec::new();
        let mut complaints = Vec::new();
        for sentinel in &mut round.sentinels {
            match sentinel.ask(&self.name, self.timeouts) {
                Ok(master) => said.push(master),
                Err(complaint) => complaints.push(complaint),
            }
            if self.heed(&said, false) && until == Until::News {
                break;
            }
        }
        if said.len() == round.sentinels.len() {
            self.heed(&said, true);
        }
        round.sentinels.sort_by_key(|sentinel| sentinel.is_silent);
        round.outcome = if said.is_empty() {
            Err(Followed::nobody(&complaints))
        } else {
            Ok(())
        };
        self.complain(&round.outcome);
        round.outcome.clone()
    }

    /// Follows who is the master by what was said. True: another than before.
    fn heed(&self, said: &[Master], is_all: bool) -> bool {
        let mut known = self.known.lock();
        let Some(master) = verdict(known.as_ref(), said, is_all) else {
            return false;
        };
        let is_other = known.as_ref().is_none_or(|known| !known.is_at(&master));
        if is_other {
            if let Some(before) = &*known {
                trace::info!(
                    "the master `{}` is at {}:{} now; it was at {}:{}",
                    self.name,
                    master.host,
                    master.port,
                    before.host,
                    before.port
                );
            }
            self.term.fetch_add(1, Ordering::AcqRel);
        }
        *known = Some(master);
        is_other
    }

    fn complain(&self, outcome: &Result<(), Failure>) {
        let was_blind = self.is_blind.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            // Without one there is nothing to be noticed yet.
            Err(failure) if !was_blind && self.known.lock().is_some() => {
                trace::warn!("a failover would not be noticed: {failure}");
            }
            Ok(()) if was_blind => trace::info!("sentinels answer again"),
            _ => {}
        }
    }

    fn nobody(complaints: &[String]) -> Failure {
        let complaints = complaints.join("; ");
        let words = format!("no sentinel says where the master is: {complaints}");
        Failure::new(Symptom::Silent, words)
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "master `{}`", self.name)?;
        match &*self.known.lock() {
            Some(Master { host, port, .. }) => write!(f, " at {host}:{port}"),
            None => Ok(()),
        }
    }
}

/// Whether the server is a master, as it sees it. `HELLO` says so and is denied to no user; servers before 6.0 don't know it.
fn is_master(connection: &mut Connection) -> RedisResult<bool> {
    match cmd("HELLO").query::<HashMap<String, Value>>(connection) {
        Ok(hello) => {
            let role = hello.get("role").cloned().unwrap_or(Value::Nil);
            let role: Option<String> = redis::from_redis_value(role)?;
            Ok(role.is_some_and(|role| role == "master"))
        }
        Err(error) if is_unknown(&error) => {
            let state: Vec<Value> = cmd("ROLE").query(connection)?;
            let role = state.into_iter().next().unwrap_or(Value::Nil);
            let role: Option<String> = redis::from_redis_value(role)?;
            Ok(role.is_some_and(|role| role == "master"))
        }
        Err(error) => Err(error),
    }
}

/// The plain `ERR`, of a command that isn't known.
fn is_unknown(error: &RedisError) -> bool {
    error.code() == Some("ERR")
}

/// It is a replica of another.
#[derive(Debug)]
struct NoMaster;

impl fmt::Display for NoMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it calls itself a replica, and no sentinel knows another master yet")
    }
}

impl std::error::Error for NoMaster {}
