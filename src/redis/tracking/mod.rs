//! The listener: one thread with its own connection, to which Redis pushes changes.
//!
//! Guarantees the contract of [`ChangeListener`](crate::store::ChangeListener), through `CLIENT
//! TRACKING ON BCAST` and a [heartbeat](Heartbeat) on the same connection. Pushes may be late,
//! because of the network or because the server or this process paused. But no answer to a `PING`
//! overtakes a push, and without an answer nothing is confirmed.
//!
//! If the connection is lost or refused, the thread reports that, and tries again with growing
//! pauses. It logs the loss once. It ends after its [`Subscription`] is dropped. That drop does not
//! wait for the end, because the thread may wait for the server. Knows no cache.

mod gate;
pub(crate) mod heartbeat;
mod replies;

use std::{
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{ProtocolVersion, PushKind, RedisResult, Value, cmd};

pub(crate) use self::gate::RunningListener;
use self::{
    gate::Gate,
    heartbeat::Heartbeat,
    replies::{Unexpected, is_only_late, is_still_owner, probe_failure},
};
use super::{
    connection::Connection,
    endpoint::Endpoint,
    error,
    opened::Opened,
    server::{
        identity::Role,
        info::{ServerInfo, hello},
        other_server::Moved,
    },
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

/// The longest pause between two heartbeats, and the longest wait of a read. The server gets four
/// small commands a second.
const LONGEST_PERIOD: Duration = Duration::from_millis(250);

/// The pause after the first loss. A brief disturbance is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause while the server cannot be reached: a recovery is noticed within it.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// If a connection lasted at least this long, the pauses begin again with the first one.
const STEADY: Duration = Duration::from_secs(5);

/// The pause after the server refused to push. Its settings must be changed first.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// What the thread listens to.
pub(crate) struct TrackedPrefix {
    pub(crate) prefix: String,
    /// How long after the acknowledgement of a change a cache may still use the old entry.
    pub(crate) bound: Duration,
    /// In a cluster, a key whose slot the node must own. If it does not own the slot, the listener
    /// stops listening to it.
    pub(crate) probe_key: Option<String>,
}

/// Starts the listener thread.
pub(crate) fn track(
    endpoint: &Endpoint,
    timeouts: Timeouts,
    task: TrackedPrefix,
    listener: SharedListener,
) -> Subscription {
    start(endpoint, timeouts, task, listener)
        .map_or_else(Subscription::without_thread, Subscription::new)
}

/// Starts the listener thread. Logs nothing, so it may be called under a lock.
pub(crate) fn start(
    endpoint: &Endpoint,
    timeouts: Timeouts,
    task: TrackedPrefix,
    listener: SharedListener,
) -> io::Result<RunningListener> {
    let TrackedPrefix {
        prefix,
        bound,
        probe_key,
    } = task;
    let gate = Arc::new(Gate::new(listener));
    let listener = PushListener {
        endpoint: endpoint.clone(),
        timeouts,
        prefix,
        probe_key,
        bound,
        period: (bound / 4).min(LONGEST_PERIOD),
        gate: Arc::clone(&gate),
    };
    let worker = Worker::start("cache-aside-listener", move |context| listener.run(context))?;
    Ok(RunningListener::new(worker, gate))
}

struct PushListener {
    endpoint: Endpoint,
    timeouts: Timeouts,
    prefix: String,
    probe_key: Option<String>,
    bound: Duration,
    period: Duration,
    gate: Arc<Gate>,
}

/// The history of the current connection.
#[derive(Default)]
struct History {
    /// The instant since which the server is known to push changes on this connection.
    listening_since: Option<Instant>,
    /// Whether the latest loss was logged. The recovery is then logged too.
    is_loss_logged: bool,
}

impl PushListener {
    fn run(&self, context: &WorkerContext) {
        let _listening = self.endpoint.epoch().listen();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let throttle = LogThrottle::default();
        let mut history = History::default();
        loop {
            history.listening_since = None;
            let Err(failure) = self.listen(context, &mut history) else {
                return;
            };
            let failure = failure.at_server(|| self.endpoint.name());
            // Called after each loss. On a cluster, this makes the topology ask the nodes whether
            // this node is still a member.
            self.gate.call(|listener| listener.on_disconnect());
            let since = history.listening_since;
            if since.is_some_and(|since| since.elapsed() >= STEADY) {
                backoff.reset();
            }
            if !history.is_loss_logged && !context.is_stopping() && throttle.is_due() {
                history.is_loss_logged = true;
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

    /// Listens until the thread must stop, or until the connection is lost.
    fn listen(&self, context: &WorkerContext, history: &mut History) -> Result<(), Failure> {
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
        // From here on the server pushes every change of a record that this process reads.
        self.gate
            .call(|listener| listener.on_confirmed(Instant::now() + self.bound));
        history.listening_since = Some(Instant::now());
        if mem::take(&mut history.is_loss_logged) {
            trace::info!("prefix `{}`: the change stream is live again", self.prefix);
        }
        self.receive(context, opened)
    }

    /// Asks the server to push changes, and whether the node still owns the slot.
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
        connection.set_limits(self.timeouts.of_listening(self.period))
    }

    fn receive(&self, context: &WorkerContext, opened: Opened) -> Result<(), Failure> {
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
            match connection.recv_push() {
                Ok(Value::Push { kind, data }) => {
                    if kind == PushKind::Invalidate {
                        self.tell(&data);
                    }
                }
                Ok(said @ Value::Map(_)) => {
                    let said = ServerInfo::of_hello(&said);
                    servers.report_role(epoch, was, said.and_then(|said| said.identity().role));
                }
                // The node owns the slot of the probe key.
                Ok(Value::Int(_)) if self.probe_key.is_some() => {}
                Ok(Value::ServerError(error))
                    if self.probe_key.is_some() && is_still_owner(Some(error.code())) => {}
                // The user may have no permission to ping.
                Ok(Value::ServerError(error)) => {
                    return Err(probe_failure(error.into(), self.bound));
                }
                Ok(reply) => match heartbeat.answered(&reply) {
                    Some(up_to) => self
                        .gate
                        .call(|listener| listener.on_confirmed(up_to + self.bound)),
                    None => return Err(Failure::new(FailureKind::Unavailable, Unexpected)),
                },
                Err(error) if is_only_late(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Passes a push on. A key that is not UTF-8 does not belong to a cache. After a push of
    /// another form, any key may have changed.
    fn tell(&self, push: &[Value]) {
        let Some(Value::Array(keys)) = push.first() else {
            // Nil: all keys.
            return self.gate.call(|listener| listener.on_flush());
        };
        for key in keys {
            let Value::BulkString(key) = key else {
                self.gate.call(|listener| listener.on_flush());
                continue;
            };
            match std::str::from_utf8(key) {
                Ok(key) if key.starts_with(&self.prefix) => {
                    self.gate.call(|listener| listener.on_change(key));
                }
                Ok(key) => self.gate.call(|listener| listener.on_lease_change(key)),
                Err(_) => {}
            }
        }
    }
}
