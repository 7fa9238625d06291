//! The event log: what the caches of this process did, as lines of JSON, for a check afterwards.
//!
//! Guarantees four things:
//!
//! - Neither a slow nor a full disk delays or fails a call. Events wait in a [`Buffer`] of limited
//!   size, and a thread writes them. What it cannot keep or write, or what comes after the close,
//!   is counted in a `lost` line. Only the first call of a forked process waits until its log is
//!   opened, for at most a second.
//! - A close waits for a limited time. If the log could not be written until then, its `close` line
//!   is missing.
//! - The lines of a process are in the order of their instants. A line is added before its call
//!   returns. So a reader that has the line of one instant has all earlier ones of that process.
//! - Values are never written, only a [`fingerprint`] of each record.
//!
//! A process writes at least one line every [`PAUSE`], so that a reader which merges several
//! processes can go on. The lines of several processes may be in one file: it is opened for
//! appending, and whole lines are written in one call.
//!
//! The lines, and what they mean, are in `tests/harnesses/check/`. Called by the recorder of each
//! cache. Knows no caches.

mod buffer;
mod clock;
pub(super) mod fingerprint;
mod sink;

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::sink::Sink;
use crate::util::per_process::PerProcess;

/// How often the buffer is written. A process that is killed loses the events of this time.
const PAUSE: Duration = Duration::from_millis(200);

/// A log of everything that could break the promise of a cache: lookups, loads, fills and
/// invalidations. Set by [`CacheBuilder::event_log`](crate::CacheBuilder::event_log).
///
/// Each event is a line of JSON. The example `check` of this crate reads them, and proves or
/// refutes that no lookup returned a record from before an invalidation that had returned. Several
/// caches and several processes of one machine may write to one file, if all of them use one Redis.
///
/// Records are not written. Each is represented by a hash of 64 bits without a secret key: whoever
/// has the log can test a guess of a record. Ids, tags and the reasons of failures are written.
///
/// A clone writes to the same log. The drop of the last handle [closes](EventLog::close) it, which
/// may wait for a slow disk; each cache holds one.
///
/// ```
/// use std::convert::Infallible;
///
/// use cache_aside::{Cache, EventLog, Memory, Record};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("trace.jsonl");
/// let log = EventLog::create(&path)?;
/// let cache: Cache = Cache::builder(Memory::new(10_000))
///     .prefix("cache:product:")
///     .event_log(log.clone())
///     .build()?;
/// cache.get("p-001", |_| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")]))))?;
/// cache.invalidate("p-001")?;
/// log.close();
/// assert!(std::fs::read_to_string(&path)?.lines().count() >= 4);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventLog(PerProcess<Sink>);

impl EventLog {
    /// Appends to this file, and creates it if there is none. Use a new file for each run: what
    /// caches without a log have loaded in between is not known.
    ///
    /// A process that is forked appends to the same file, also if it has changed its folder or its
    /// user.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system has no thread.
    pub fn create(path: impl AsRef<Path>) -> io::Result<EventLog> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        // Inherited by a child, which may not be able to open the file. Appending needs no lock.
        let file = Arc::new(file);
        let sink = Sink::start(Box::new(Arc::clone(&file)))?;
        let in_child = move || {
            let file = || Box::new(Arc::clone(&file));
            Sink::start(file()).unwrap_or_else(|_| Sink::unclosed(file()))
        };
        Ok(EventLog(PerProcess::with(sink, in_child)))
    }

    /// Writes to `writer`, on a thread of the log. A process that is forked writes nothing.
    ///
    /// # Errors
    ///
    /// The system has no thread.
    pub fn to(writer: impl Write + Send + 'static) -> io::Result<EventLog> {
        let sink = Sink::start(Box::new(writer))?;
        Ok(EventLog(PerProcess::with(sink, Sink::none)))
    }

    /// Ends the log of this process, and waits until everything is written, for at most five
    /// seconds. Call it before a process ends without the drop of its caches, as by
    /// [`std::process::exit`]: a log that is not closed proves nothing.
    ///
    /// Call it after the last call of every cache of the process has returned. Later events are not
    /// written, and other processes may get what a later load has cached. So they are counted as
    /// lost, and the log proves nothing.
    pub fn close(&self) {
        self.0.get().close();
    }

    /// Adds a line. `rest`: what follows the instant.
    pub(super) fn add(&self, rest: &str) {
        self.0.get().add(rest);
    }

    /// An instant on the clock that the processes of this machine share, in nanoseconds.
    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        self.0.get().nanos(instant)
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
