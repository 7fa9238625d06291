//! The log of one process: its buffer, and the thread that writes it.
//!
//! Guarantees that every line is written or counted as lost, and that a closed log ends with a
//! `close` line. Called by the log. Only the thread writes: whoever opens or closes the log waits
//! for it, for a limited time.
//!
//! No user code runs under its locks. The writer, which may be the program's, is taken out of its
//! lock while it writes.

use std::{
    fmt::{self, Write as _},
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    PAUSE,
    buffer::Buffer,
    clock::{Clock, STEP},
};
use crate::util::{
    sync::{Condvar, Mutex},
    worker::{Next, Worker, contain_panic},
};

/// How long the first call of a process waits for a slow disk. A log that is opened later than its
/// first events makes the trace incomplete.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// How long a close waits for a slow disk.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// How much is written at once. Lines of several processes do not mix if each call writes whole
/// lines, and a regular file takes this much in one call.
const CHUNK: usize = 1 << 16;

/// `None`: this process writes no log.
pub(super) struct Sink(Option<Log>);

struct Log {
    shared: Arc<SharedSink>,
    /// Its state is the number of the last round that was asked for.
    thread: Worker<u64>,
}

struct SharedSink {
    clock: Clock,
    process: String,
    buffer: Mutex<Buffer>,
    /// `None` while it writes.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
    /// The last round that was asked for and is done: what waited before it is written or lost.
    done: Mutex<u64>,
    /// Notified, with no lock held, when a round is done.
    written: Condvar,
    /// How far the system's clock had moved when that was last reported.
    moved: Mutex<i128>,
}

impl Sink {
    /// The log of a process that writes none.
    pub(super) fn none() -> Sink {
        Sink(None)
    }

    pub(super) fn start(writer: Box<dyn Write + Send>) -> std::io::Result<Sink> {
        let shared = Arc::new(SharedSink::open(writer));
        let of_thread = Arc::clone(&shared);
        let thread = Worker::new("cache-aside-log", move |context| {
            let (mut done, mut next) = (0, Instant::now());
            let due = |asked: &mut u64, done, next| match *asked {
                asked if asked > done || Instant::now() >= next => Next::Run(asked),
                _ => Next::WaitUntil(next),
            };
            while let Some(asked) = context.wait_for(|asked| due(asked, done, next)) {
                of_thread.write();
                of_thread.finish(asked);
                (done, next) = (asked, Instant::now() + PAUSE);
            }
        });
        let log = Log { shared, thread };
        // Before any event: a reader that merges processes must know of this one by then.
        log.write_within(OPENS_WITHIN)?;
        Ok(Sink(Some(log)))
    }

    /// The log of a process that has no thread for it. It is opened and never closed, so that the
    /// trace is incomplete.
    pub(super) fn unclosed(writer: Box<dyn Write + Send>) -> Sink {
        SharedSink::open(writer).write();
        Sink(None)
    }

    pub(super) fn add(&self, rest: &str) {
        if let Some(Log { shared, .. }) = &self.0 {
            let rest = format!("\"p\":\"{}\",{rest}", shared.process);
            shared.buffer.lock().add(&shared.clock, &rest);
        }
    }

    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        let log = self.0.as_ref();
        log.map_or(0, |log| log.shared.clock.nanos(instant))
    }

    pub(super) fn close(&self) {
        let Some(log) = &self.0 else {
            return;
        };
        let close = log.shared.line("close", "");
        let must_write = log.shared.buffer.lock().close(&log.shared.clock, &close);
        if must_write {
            // Without a thread, the `close` line is missing.
            let _ = log.write_within(CLOSES_WITHIN);
        }
    }
}

impl Log {
    /// Lets the thread write what waits now, and waits until it has.
    ///
    /// Fails if the system has no thread.
    fn write_within(&self, limit: Duration) -> std::io::Result<()> {
        let deadline = Instant::now() + limit;
        let mut round = 0;
        self.thread.update(|asked| {
            *asked += 1;
            round = *asked;
            true
        })?;
        let mut done = self.shared.done.lock();
        // No wake-up is lost: the thread changes `done` under this lock, and notifies then.
        while *done < round && Instant::now() < deadline {
            done = self.shared.written.wait_until(done, deadline);
        }
        Ok(())
    }
}

impl SharedSink {
    /// Its first line waits to be written.
    fn open(writer: Box<dyn Write + Send>) -> SharedSink {
        let number = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let shared = SharedSink {
            clock: Clock::new(),
            process: format!("{number:08x}"),
            buffer: Mutex::default(),
            writer: Mutex::new(Some(writer)),
            done: Mutex::default(),
            written: Condvar::new(),
            moved: Mutex::default(),
        };
        let error = shared.clock.error.as_nanos();
        let open = shared.line("open", &format!(",\"error\":{error}"));
        shared.buffer.lock().force(&shared.clock, &open);
        shared
    }

    fn line(&self, event: &str, rest: &str) -> String {
        format!("\"p\":\"{}\",\"e\":\"{event}\"{rest}", self.process)
    }

    /// Writes what waits.
    fn write(&self) {
        let Some(mut writer) = self.writer.lock().take() else {
            return;
        };
        let (text, lost) = {
            let mut buffer = self.buffer.lock();
            if !buffer.is_closed() {
                buffer.force(&self.clock, &self.line("alive", ""));
            }
            buffer.take()
        };
        // Without a line, the log is closed, and nothing was added since.
        let mut lines = match (&*text, lost) {
            ("", 0) => String::new(),
            _ => self.reports(lost),
        };
        lines += &text;
        let mut is_full = false;
        for chunk in chunks(&lines) {
            let written = !is_full
                && contain_panic(|| writer.write_all(chunk.as_bytes()))
                    .is_some_and(|it| it.is_ok());
            if !written {
                // Nothing follows that would hide the gap, the close least of all.
                is_full = true;
                self.buffer.lock().lose(chunk.lines().count() as u64);
            }
        }
        let _ = contain_panic(|| writer.flush());
        *self.writer.lock() = Some(writer);
    }

    /// A round is done.
    fn finish(&self, round: u64) {
        *self.done.lock() = round;
        self.written.notify_all();
    }

    /// Lines about this log. They have no instant: their place is before the lines that follow.
    fn reports(&self, lost: u64) -> String {
        let mut lines = String::new();
        if lost > 0 {
            // The line before may be torn.
            let _ = writeln!(
                lines,
                "\n{{{}}}",
                self.line("lost", &format!(",\"count\":{lost}"))
            );
        }
        let moved = self.clock.moved(&Clock::new());
        let before = {
            let mut reported = self.moved.lock();
            let before = *reported;
            if (moved - before).abs() > STEP {
                *reported = moved;
            }
            before
        };
        if (moved - before).abs() > STEP {
            let by = format!(",\"by\":{}", moved - before);
            let _ = writeln!(lines, "{{{}}}", self.line("step", &by));
        }
        lines
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

/// Parts of whole lines.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let near = rest.as_bytes().get(CHUNK..);
        let end = near.and_then(|near| near.iter().position(|byte| *byte == b'\n'));
        let (chunk, others) = rest.split_at(end.map_or(rest.len(), |end| CHUNK + end + 1));
        rest = others;
        Some(chunk)
    })
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}
