//! `OutboxRelay`: the handle of the thread that empties an outbox.

use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

use super::progress::RelayProgress;
use crate::{
    telemetry::outbox::{OutboxReporter, OutboxStats},
    util::{process::OfProcess, worker::Worker},
};

/// Empties an [`Outbox`](crate::Outbox): a thread that reads its entries in order, invalidates
/// their records in batches, and acknowledges what was invalidated. Made by
/// [`OutboxRelay::builder`].
///
/// **No invalidation is lost**, even if the writer or this process dies at any moment. An entry
/// stays in the table until its record has been invalidated. If Redis is away, the entry is tried
/// again with growing pauses, of at most a second, in the same order. Entries behind it wait, so
/// caches on different servers should have relays of their own. An entry that is relayed twice
/// costs a load and is harmless. So several processes may each have a relay for one table.
///
/// An entry that no cache can take, because its id is empty or too long, is logged, counted and
/// acknowledged.
///
/// # Drop
///
/// The drop stops the thread and does not wait for it, because the outbox is the program's own
/// code and may wait for a lock that the dropping thread holds. The thread ends by itself after
/// its current step, and drops the outbox. What was not acknowledged stays in the table. To wait
/// for the thread, call [`stop`](OutboxRelay::stop).
///
/// # Fork
///
/// The relay belongs to the process that started it, and so does its outbox. In a child that was
/// forked, nothing is relayed: `wake` does nothing, `flush` returns false, and the drop does not
/// touch the outbox. The parent's relay also relays what the child commits. A child that outlives
/// its parent must start a relay over a connection of its own.
///
/// ```no_run
/// use std::time::Duration;
///
/// use cache_aside::{Cache, Outbox, OutboxRelay};
///
/// # fn start(table: impl Outbox) -> Result<(), cache_aside::Error> {
/// let products: Cache = Cache::builder("redis://localhost:6379").prefix("product:").build()?;
/// let relay = OutboxRelay::builder(table).cache(&products).start()?;
///
/// // A change, and an entry for `p-001` in `product:`, in one transaction. After its commit:
/// products.invalidate("p-001")?;
/// relay.wake();
///
/// // At the end of the program:
/// if !relay.flush(Duration::from_secs(5)) {
///     eprintln!("some entries stay in the table, for the next start");
/// }
/// # Ok(())
/// # }
/// ```
pub struct OutboxRelay {
    /// Its state is whether someone has called `wake`. Its drop stops the thread.
    worker: Worker<bool>,
    progress: OfProcess<Arc<RelayProgress>>,
    reporter: Arc<OutboxReporter>,
}

// A relay stays usable after a panic. No user code runs under its locks, and they do not poison.
impl UnwindSafe for OutboxRelay {}
impl RefUnwindSafe for OutboxRelay {}

impl OutboxRelay {
    pub(super) fn new(
        worker: Worker<bool>,
        progress: Arc<RelayProgress>,
        reporter: Arc<OutboxReporter>,
    ) -> OutboxRelay {
        OutboxRelay {
            worker,
            progress: OfProcess::new(progress),
            reporter,
        }
    }

    /// Makes the thread look at the outbox now: a hint that something was committed. Without it,
    /// the thread finds the entry at its next [poll](crate::OutboxRelayBuilder::poll).
    ///
    /// Use it after a commit, or when the database tells of one, as PostgreSQL does with `NOTIFY`.
    /// A thread that listens for that should hold the relay as a [`Weak`](std::sync::Weak), so that
    /// it does not keep the relay alive. After a failure, the thread first ends its pause.
    ///
    /// # Cost
    ///
    /// No round trip: it wakes the thread and returns.
    pub fn wake(&self) {
        // In a child there is no thread to wake.
        let _ = self.worker.update(|is_woken| {
            *is_woken = true;
            true
        });
    }

    /// Waits until every entry that was in the outbox at this call has been invalidated and
    /// acknowledged. Returns whether that happened within `timeout`. If not, the entries stay in
    /// the outbox, and the thread goes on with them.
    ///
    /// It covers the entries of the relay's caches that were committed before this call. It is
    /// complete when a look at the outbox has found fewer entries than fit into a batch of 1,000.
    /// So while entries come faster than they can be relayed, it returns false.
    ///
    /// # Cost
    ///
    /// No round trip on this thread. The thread of the relay needs one look at the outbox more, and
    /// one round trip to each cache for each 1,000 entries.
    #[must_use = "it says whether the entries have been invalidated"]
    pub fn flush(&self, timeout: Duration) -> bool {
        let Some(progress) = self.progress.get(Instant::now()) else {
            return false;
        };
        let number = progress.ask();
        self.wake();
        progress.wait_for_flush(number, timeout)
    }

    /// The counters of this relay since its start, and how far it lags behind. In a child that was
    /// forked, there is no lag.
    #[must_use]
    pub fn stats(&self) -> OutboxStats {
        let lag = self.progress.get(Instant::now());
        let lag = lag.map(|progress| progress.lag()).unwrap_or_default();
        OutboxStats {
            waiting: lag.entries,
            oldest: lag.age(),
            ..self.reporter.stats()
        }
    }

    /// Stops the thread, and waits until it has ended and has dropped the outbox. Returns whether
    /// that happened within `timeout`. It does not flush: what is in the outbox stays there.
    ///
    /// Use it to close a database or to delete its file. Hold no lock that the outbox needs.
    ///
    /// # Cost
    ///
    /// No round trip. It waits for the current step: a request to the outbox or to a cache.
    #[must_use = "it says whether the thread has ended"]
    pub fn stop(self, timeout: Duration) -> bool {
        let OutboxRelay {
            worker, progress, ..
        } = self;
        drop(worker);
        progress
            .get(Instant::now())
            .is_none_or(|progress| progress.wait_for_end(timeout))
    }
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("name", &self.reporter.outbox)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
