//! The listener: one thread on one connection of its own, to which Redis pushes what changes.
//!
//! Guarantees what [`Ear`] says, by `CLIENT TRACKING ON BCAST` and a [heartbeat](Pulse) on the same connection: however
//! pushes are held up, by the network, by a server that was stopped or by this process having been, no answer to a `PING`
//! overtakes them, and without answers the ear is told nothing that lets it rely on what it has. Where the connection
//! is lost or refused, the thread says so and tries again, with growing pauses; it logs that once.
//!
//! Knows no cache. It is ended by the drop of the [`Tracking`] that stands for it.

pub(crate) mod heartbeat;

use std::{
    fmt,
    time::{Duration, Instant},
};

use redis::{Connection, ProtocolVersion, PushKind, RedisError, RedisResult, Value, cmd};

use self::heartbeat::Pulse;
use super::{endpoint::Source, error, other_server::Moved, timeouts::Timeouts};
use crate::{
    store::{Failure, Symptom, Tracking, keys::LEASE_PREFIX, tracking::SharedEar},
    telemetry::trace,
    util::worker::{End, Handle},
};

/// The longest pause between two heartbeats. It is also how long a read waits, and so how long the end of a cache may
/// take: a moment to a person, and eight small commands a second to a server.
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

/// The pause after the first loss: what was a hiccup is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause while the server can't be reached: what a recovery is late by at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whoever has listened for so long was well. What is cut off sooner tries again with growing pauses.
const STEADY: Duration = Duration::from_secs(5);

/// A loss is logged no more often than this: a log that fills a disk helps nobody.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// The pause where the server would not be listened to: somebody has to change that.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// What to listen to.
pub(crate) struct Task {
    pub(crate) prefix: String,
    /// In time for whoever relies on it so long after a change was acknowledged.
    pub(crate) bound: Duration,
    /// Of a cluster: a key that the server must have in its charge. Where it hasn't, it is heard no longer.
    pub(crate) charge: Option<String>,
}

/// Begins to listen, in a thread of its own.
pub(crate) fn track(source: &Source, timeouts: Timeouts, task: Task, ear: SharedEar) -> Tracking {
    let Task {
        prefix,
        bound,
        charge,
    } = task;
    let listener = Listener {
        source: source.clone(),
        timeouts,
        prefix,
        charge,
        bound,
        period: (bound / 4).min(LONGEST_PERIOD),
        ear,
    };
    // It ends after the read it is at.
    let handle = Handle::start("cache-aside-listener", move |end| listener.run(end));
    if let Err(error) = &handle {
        trace::error!("there is no thread to hear of changes in Redis with: {error}");
    }
    Tracking::new(handle.ok())
}

struct Listener {
    source: Source,
    timeouts: Timeouts,
    prefix: String,
    charge: Option<String>,
    bound: Duration,
    period: Duration,
    ear: SharedEar,
}

/// How it goes, as it was logged last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Lost,
}

impl Listener {
    fn run(self, end: &End) {
        let _listening = self.source.epoch().listen();
        let mut pause = FIRST_PAUSE;
        let mut told = Told::Nothing;
        let mut complained: Option<Instant> = None;
        loop {
            let mut listened_since = None;
            let failure = match self.listen(end, &mut listened_since, &mut told) {
                Ok(()) => return,
                Err(failure) => failure,
            };
            // Each time: on a cluster it has the nodes asked whether this is one still.
            self.ear.lost();
            if listened_since.is_some_and(|since: Instant| since.elapsed() >= STEADY) {
                pause = FIRST_PAUSE;
            }
            let is_news = complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL);
            if told == Told::Nothing && is_news {
                (told, complained) = (Told::Lost, Some(Instant::now()));
                trace::warn!(
                    "changes of the cache `{}` are not heard, so nothing near is used and waiters poll: {failure}",
                    self.prefix
                );
            }
            let is_refusal = failure.symptom == Symptom::Refused;
            if end.is_near_within(if is_refusal {
                PAUSE_AFTER_REFUSAL
            } else {
                pause
            }) {
                return;
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Listens until the end is near, or the connection is lost.
    fn listen(
        &self,
        end: &End,
        listened_since: &mut Option<Instant>,
        told: &mut Told,
    ) -> Result<(), Failure> {
        let opened = self
            .source
            .open(self.timeouts, Some(ProtocolVersion::RESP3));
        let opened = opened.map_err(|failure| {
            if error::is_without_resp3(&failure) {
                let symptom = Symptom::Refused;
                return Failure { symptom, ..failure };
            }
            failure
        })?;
        let (mut connection, epoch) = (opened.connection, opened.epoch);
        self.begin(&mut connection)
            .map_err(|error| discharged(error, self.timeouts.io))?;
        // What is read from here on is tracked, so nothing of it can have changed unheard.
        self.ear.listening(Instant::now() + self.bound);
        *listened_since = Some(Instant::now());
        if std::mem::replace(told, Told::Nothing) == Told::Lost {
            trace::info!("changes of the cache `{}` are heard again", self.prefix);
        }
        self.hear(end, &mut connection, epoch)
    }

    /// Asks for pushes, and whether the node is one to be heard.
    fn begin(&self, connection: &mut Connection) -> RedisResult<()> {
        let prefix = &self.prefix;
        let mut request = cmd("CLIENT");
        request.arg("TRACKING").arg("ON").arg("BCAST");
        request.arg("PREFIX").arg(prefix);
        // Their leases: with the data key as hash tag, and with a tag of its own.
        let (whole, tagged) = (
            format!("{LEASE_PREFIX}{{{prefix}"),
            format!("{LEASE_PREFIX}{prefix}"),
        );
        request.arg("PREFIX").arg(whole).arg("PREFIX").arg(tagged);
        request.exec(connection)?;
        if let Some(charge) = &self.charge {
            let mut question = cmd("PTTL");
            match question.arg(charge).exec(connection) {
                Err(error) if is_still_in_charge(error.code()) => {}
                answered => answered?,
            }
        }
        connection.set_read_timeout(Some(self.period))
    }

    fn hear(&self, end: &End, connection: &mut Connection, epoch: u64) -> Result<(), Failure> {
        let failed = |error| error::failure(error, self.bound);
        let mut pulse = Pulse::new(self.period, Instant::now());
        if let Some(charge) = &self.charge {
            pulse = pulse.asking(cmd("PTTL").arg(charge).get_packed_command());
        }
        while !end.is_near() {
            if self.source.epoch().current() != epoch {
                return Err(Failure::new(Symptom::Silent, Moved));
            }
            let now = Instant::now();
            let unanswered = pulse.unanswered_since();
            if unanswered.is_some_and(|since| now.duration_since(since) >= self.bound) {
                let (within, cause) = (self.bound, None);
                return Err(Failure::new(
                    Symptom::Silent,
                    error::Silent { within, cause },
                ));
            }
            if let Some(request) = pulse.beat(now) {
                connection.send_packed_command(&request).map_err(failed)?;
            }
            match connection.recv_response() {
                Ok(Value::Push { kind, data }) => {
                    if kind == PushKind::Invalidate {
                        self.tell(&data);
                    }
                }
                // It has the key in its charge.
                Ok(Value::Int(_)) if self.charge.is_some() => {}
                Ok(Value::ServerError(error))
                    if self.charge.is_some() && is_still_in_charge(Some(error.code())) => {}
                // Perhaps to somebody who may not ping.
                Ok(Value::ServerError(error)) => return Err(discharged(error.into(), self.bound)),
                Ok(reply) => match pulse.answered(&reply) {
                    Some(up_to) => self.ear.listening(up_to + self.bound),
                    None => return Err(Failure::new(Symptom::Silent, Unexpected)),
                },
                Err(error) if is_only_late(&error) => pulse.timed_out(),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Passes a push on. What is no UTF-8 is no key of ours.
    fn tell(&self, push: &[Value]) {
        let Some(Value::Array(keys)) = push.first() else {
            // Nil: all of them.
            return self.ear.everything_changed();
        };
        for key in keys {
            let Value::BulkString(key) = key else {
                continue;
            };
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            if key.starts_with(&self.prefix) {
                self.ear.changed(key);
            } else {
                self.ear.lease_changed(key);
            }
        }
    }
}

/// While a slot is being moved, the node that has it sends those who ask for a key that isn't there to the other.
fn is_still_in_charge(code: Option<&str>) -> bool {
    code == Some("ASK")
}

/// Why the node wouldn't say that it has the key in its charge.
fn discharged(error: RedisError, within: Duration) -> Failure {
    if error.code() == Some("MOVED") {
        return Failure::new(
            Symptom::Silent,
            "slots of the node are another's by now, which is listened to instead",
        );
    }
    error::failure(error, within)
}

/// Nothing to read in time, or a signal came in between: that of a process which was stopped and goes on.
fn is_only_late(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_connection_dropped()
}

/// What came back answers no heartbeat.
#[derive(Debug)]
struct Unexpected;

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer to a PING makes no sense")
    }
}

impl std::error::Error for Unexpected {}
