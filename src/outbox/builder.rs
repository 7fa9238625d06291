//! The settings of a relay, and its start.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    Outbox, progress::RelayProgress, relay::OutboxRelay, round::Relay, run::run,
    target::RelayTarget,
};
use crate::{
    error::Error,
    telemetry::outbox::OutboxReporter,
    util::{
        limits::{between, refuse},
        worker::{Worker, WorkerContext},
    },
};

/// The settings of an [`OutboxRelay`]. Made by [`OutboxRelay::builder`].
#[must_use = "a builder does nothing before `start`"]
pub struct OutboxRelayBuilder<O> {
    outbox: O,
    targets: Vec<Arc<dyn RelayTarget>>,
    poll: Duration,
    name: String,
}

impl OutboxRelay {
    /// Starts with an outbox. The relay takes it, and uses it on its own thread only.
    pub fn builder<O: Outbox>(outbox: O) -> OutboxRelayBuilder<O> {
        OutboxRelayBuilder {
            outbox,
            targets: Vec::new(),
            poll: Duration::from_millis(250),
            name: "outbox".to_owned(),
        }
    }
}

impl<O: Outbox> OutboxRelayBuilder<O> {
    /// Adds a target to invalidate.
    pub(crate) fn target(mut self, target: impl RelayTarget + 'static) -> OutboxRelayBuilder<O> {
        self.targets.push(Arc::new(target));
        self
    }

    /// Sets how often the thread looks at the outbox if nobody [wakes](OutboxRelay::wake) it. It is
    /// the longest time between a commit and its invalidation if the writer dies in between, while
    /// both servers work. Each pause is shortened at random by up to half. 1 ms to ten years.
    ///
    /// Defaults to 250 ms: nobody notices it, and it costs the database four to eight queries a
    /// second that find nothing.
    pub fn poll(mut self, poll: Duration) -> OutboxRelayBuilder<O> {
        self.poll = poll;
        self
    }

    /// Sets the name of the relay: in log lines, and as the label `outbox` of its metrics.
    ///
    /// Defaults to `outbox`.
    pub fn name(mut self, name: impl Into<String>) -> OutboxRelayBuilder<O> {
        self.name = name.into();
        self
    }

    /// Checks the settings and starts the thread, which looks at the outbox at once.
    ///
    /// # Cost
    ///
    /// No round trip on this thread.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidSetting`] names the invalid setting.
    /// - [`Error::NoThread`]: the system has no thread for the relay.
    pub fn start(self) -> Result<OutboxRelay, Error> {
        let OutboxRelayBuilder {
            outbox,
            targets,
            poll,
            name,
        } = self;
        if targets.is_empty() {
            return refuse("cache", "the relay has no cache to invalidate; add one");
        }
        between("poll", poll, Duration::from_millis(1))?;
        let reporter = Arc::new(OutboxReporter::new(name));
        let progress = Arc::new(RelayProgress::default());
        let relay = Relay {
            targets,
            reporter: Arc::clone(&reporter),
            progress: Arc::clone(&progress),
        };
        // The outbox need not be `Sync`: the thread takes it out. No user code runs under the lock.
        let outbox = Mutex::new(Some(outbox));
        let worker = Worker::new(
            "cache-aside-outbox",
            move |context: &WorkerContext<bool>| {
                let taken = outbox.lock().take();
                if let Some(outbox) = taken {
                    run(&relay, outbox, poll, context);
                }
            },
        );
        worker
            .update(|_| false)
            .map_err(|error| Error::NoThread(Arc::new(error)))?;
        Ok(OutboxRelay::new(worker, progress, reporter))
    }
}

impl<O> fmt::Debug for OutboxRelayBuilder<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caches: Vec<_> = self.targets.iter().map(|target| target.name()).collect();
        f.debug_struct("OutboxRelayBuilder")
            .field("name", &self.name)
            .field("caches", &caches)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}
