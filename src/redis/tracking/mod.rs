//! The listener: one thread with a connection of its own, to which Redis pushes what changes.
//!
//! Guarantees what [`ChangeListener`](crate::store::ChangeListener) says, by
//! `CLIENT TRACKING ON BCAST` and a [heartbeat](Heartbeat) on the same connection. Pushes may be
//! delayed by the network, or because the server or this process was stopped for a while. No answer
//! to a `PING` overtakes them, and without answers nothing is confirmed. Where the connection is
//! lost or refused, the thread reports that, tries again with growing pauses, and logs the loss once.
//!
//! Knows no cache. The drop of its [`Subscription`] ends it.

pub(crate) mod heartbeat;
mod replies;

use std::{
    mem,
    time::{Duration, Instant},
};

use redis::{Connection, ProtocolVersion, PushKind, RedisResult, Value, cmd};

use self::{
    heartbeat::Heartbeat,
    replies::{Unexpected, is_only_late, is_still_owner, probe_failure},
};
use super::{
    endpoint::Endpoint,
    error,
    opened::Opened,
    other_server::Moved,
    server_identity::Role,
    server_info::{ServerInfo, hello},
    timeouts::Timeouts,
};
use crate::{
    error::cause::chain,
    store::{Failure, FailureKind, Subscription, keys::LEASE_PREFIX, tracking::SharedListener},
    telemetry::trace,
    util::{
        backoff::Backoff,
        log_throttle::LogThrottle,
        worker::{Worker, WorkerContext},
    },
};

/// The longest pause between two heartbeats. It is also how long a read waits, and so how long the
/// drop of a cache may take. That is short for a person, and costs a server eight small commands a
/// second.
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

/// The pause after the first loss. A brief disturbance is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause while the server cannot be reached. A recovery is noticed this much late at
/// most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// After a connection that lasted so long the pauses begin with the first one again.
const STEADY: Duration = Duration::from_secs(5);

/// The pause after the server refused to push. Somebody has to change its settings first.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// What to listen to.
pub(crate) struct Task {
    pub(crate) prefix: String,
    /// How long after a change was acknowledged a cache may still rely on what it has.
    pub(crate) bound: Duration,
    /// In a cluster, a key whose slot the node must own. Where it does not, this stops listening to
    /// it.
    pub(crate) probe_key: Option<String>,
}

/// Starts a thread that listens.
pub(crate) fn track(
    endpoint: &Endpoint,
    timeouts: Timeouts,
    task: Task,
    listener: SharedListener,
) -> Subscription {
    let Task {
        prefix,
        bound,
        probe_key,
    } = task;
    let listener = PushListener {
        endpoint: endpoint.clone(),
        timeouts,
        prefix,
        probe_key,
        bound,
        period: (bound / 4).min(LONGEST_PERIOD),
        listener,
    };
    // It stops after its current read, which waits for no longer than the period.
    let worker = Worker::start("cache-aside-listener", move |context| listener.run(context));
    if let Err(error) = &worker {
        trace::error!("no thread to receive changes could be started: {error}");
    }
    Subscription::new(worker.ok())
}

struct PushListener {
    endpoint: Endpoint,
    timeouts: Timeouts,
    prefix: String,
    probe_key: Option<String>,
    bound: Duration,
    period: Duration,
    listener: SharedListener,
}

/// How the current connection came about, and what became of it.
#[derive(Default)]
struct Progress {
    /// When it was confirmed that changes are pushed to it.
    listening_since: Option<Instant>,
    /// Whether the latest loss was logged. Then the recovery is logged as well.
    is_loss_logged: bool,
}

impl PushListener {
    fn run(&self, context: &WorkerContext) {
        let _listening = self.endpoint.epoch().listen();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let throttle = LogThrottle::default();
        let mut progress = Progress::default();
        loop {
            progress.listening_since = None;
            let Err(failure) = self.listen(context, &mut progress) else {
                return;
            };
            let failure = failure.at_server(|| self.endpoint.name());
            // After each loss: on a cluster this makes it ask the nodes whether this one is still a
            // member.
            self.listener.on_disconnect();
            let since = progress.listening_since;
            if since.is_some_and(|since| since.elapsed() >= STEADY) {
                backoff.reset();
            }
            if !progress.is_loss_logged && throttle.is_due() {
                progress.is_loss_logged = true;
                trace::warn!(
                    "prefix `{}`: the change stream is down, so the near cache is not used and waiters poll: {}",
                    self.prefix,
                    chain(&failure)
                );
            }
            let pause = backoff.next();
            let is_refusal = failure.kind == FailureKind::Rejected;
            if context.pause(if is_refusal {
                PAUSE_AFTER_REFUSAL
            } else {
                pause
            }) {
                return;
            }
        }
    }

    /// Listens until the thread is to stop, or the connection is lost.
    fn listen(&self, context: &WorkerContext, progress: &mut Progress) -> Result<(), Failure> {
        let opened = self
            .endpoint
            .open(self.timeouts, Some(ProtocolVersion::RESP3));
        let mut opened = opened.map_err(|failure| {
            if error::is_without_resp3(&failure) {
                let kind = FailureKind::Rejected;
                return Failure { kind, ..failure };
            }
            failure
        })?;
        self.begin(&mut opened.connection)
            .map_err(|error| probe_failure(error, self.timeouts.io))?;
        // From here on the server pushes every change of what this process reads.
        self.listener.on_confirmed(Instant::now() + self.bound);
        progress.listening_since = Some(Instant::now());
        if mem::take(&mut progress.is_loss_logged) {
            trace::info!("prefix `{}`: the change stream is live again", self.prefix);
        }
        self.hear(context, opened)
    }

    /// Asks for pushes, and whether the node still owns the slot.
    fn begin(&self, connection: &mut Connection) -> RedisResult<()> {
        let prefix = &self.prefix;
        let mut request = cmd("CLIENT");
        request.arg("TRACKING").arg("ON").arg("BCAST");
        request.arg("PREFIX").arg(prefix);
        // The leases: those with the data key as hash tag, and those whose key has its own tag.
        let (whole, tagged) = (
            format!("{LEASE_PREFIX}{{{prefix}"),
            format!("{LEASE_PREFIX}{prefix}"),
        );
        request.arg("PREFIX").arg(whole).arg("PREFIX").arg(tagged);
        request.exec(connection)?;
        if let Some(probe_key) = &self.probe_key {
            let mut question = cmd("PTTL");
            match question.arg(probe_key).exec(connection) {
                Err(error) if is_still_owner(error.code()) => {}
                answered => answered?,
            }
        }
        connection.set_read_timeout(Some(self.period))
    }

    fn hear(&self, context: &WorkerContext, opened: Opened) -> Result<(), Failure> {
        let servers = self.endpoint.epoch();
        let (mut connection, epoch, was) = (opened.connection, opened.epoch, opened.role);
        let mut role_checks = opened.role_checks;
        let failed = |error| error::failure(error, self.bound);
        let mut heartbeat = Heartbeat::new(self.period, Instant::now());
        if let Some(probe_key) = &self.probe_key {
            heartbeat = heartbeat.asking(cmd("PTTL").arg(probe_key).get_packed_command());
        }
        while !context.is_stopping() {
            if servers.current() != epoch {
                return Err(Failure::new(FailureKind::Unavailable, Moved));
            }
            let due = servers.role_checks();
            if mem::replace(&mut role_checks, due) != due && was == Some(Role::Master) {
                heartbeat.ask_once(hello(ProtocolVersion::RESP3).get_packed_command());
            }
            let now = Instant::now();
            let unanswered = heartbeat.unanswered_since();
            if unanswered.is_some_and(|since| now.duration_since(since) >= self.bound) {
                let within = self.bound;
                let timeout = error::Timeout { within };
                return Err(Failure::new(FailureKind::Unavailable, timeout));
            }
            if let Some(request) = heartbeat.next_request(now) {
                connection.send_packed_command(&request).map_err(failed)?;
            }
            match connection.recv_response() {
                Ok(Value::Push { kind, data }) => {
                    if kind == PushKind::Invalidate {
                        self.tell(&data);
                    }
                }
                Ok(said @ Value::Map(_)) => {
                    let said = ServerInfo::of_hello(&said);
                    servers.report_role(epoch, was, said.and_then(|said| said.identity().role));
                }
                // It owns the slot of the key.
                Ok(Value::Int(_)) if self.probe_key.is_some() => {}
                Ok(Value::ServerError(error))
                    if self.probe_key.is_some() && is_still_owner(Some(error.code())) => {}
                // The user may have no permission to ping.
                Ok(Value::ServerError(error)) => {
                    return Err(probe_failure(error.into(), self.bound));
                }
                Ok(reply) => match heartbeat.answered(&reply) {
                    Some(up_to) => self.listener.on_confirmed(up_to + self.bound),
                    None => return Err(Failure::new(FailureKind::Unavailable, Unexpected)),
                },
                Err(error) if is_only_late(&error) => heartbeat.timed_out(),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Passes a push on. A key that is not UTF-8 is not ours.
    fn tell(&self, push: &[Value]) {
        let Some(Value::Array(keys)) = push.first() else {
            // Nil: all keys.
            return self.listener.on_flush();
        };
        for key in keys {
            let Value::BulkString(key) = key else {
                continue;
            };
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            if key.starts_with(&self.prefix) {
                self.listener.on_change(key);
            } else {
                self.listener.on_lease_change(key);
            }
        }
    }
}
