//! The log of one process: its buffer, and the thread that writes it.
//!
//! Guarantees that every line is written or counted as lost, and that a closed log ends with a
//! `close` line. Called by the log.
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
    worker::{Worker, contain_panic},
};

/// How long a close waits for a slow disk.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// How much is written at once. Lines of several processes do not mix if each call writes whole
/// lines, and a regular file takes this much in one call.
const CHUNK: usize = 1 << 16;

pub(super) struct Sink {
    /// `None`: this process writes no log.
    shared: Option<Arc<Shared>>,
    /// Dropped after the log was closed.
    _writer: Option<Worker>,
}

struct Shared {
    clock: Clock,
    process: String,
    buffer: Mutex<Buffer>,
    /// `None` while a thread writes.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
    /// Notified, with no lock held, when a thread has written.
    written: Condvar,
    /// How far the system's clock had moved when that was last reported.
    moved: Mutex<i128>,
}

impl Sink {
    /// The log of a process that writes none.
    pub(super) fn none() -> Sink {
        Sink {
            shared: None,
            _writer: None,
        }
    }

    pub(super) fn start(writer: Box<dyn Write + Send>) -> std::io::Result<Sink> {
        let number = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            process: format!("{number:08x}"),
            buffer: Mutex::default(),
            writer: Mutex::new(Some(writer)),
            written: Condvar::new(),
            moved: Mutex::default(),
        });
        let error = shared.clock.error.as_nanos();
        let open = shared.line("open", &format!(",\"error\":{error}"));
        shared.buffer.lock().force(&shared.clock, &open);
        // Before any event: a reader that merges processes must know of this one by then.
        shared.write();
        let thread = Arc::clone(&shared);
        let writer = Worker::start("cache-aside-log", move |context| {
            while !context.pause_until(Instant::now() + PAUSE) {
                thread.write();
            }
        })?;
        Ok(Sink {
            shared: Some(shared),
            _writer: Some(writer),
        })
    }

    pub(super) fn add(&self, rest: &str) {
        if let Some(shared) = &self.shared {
            let rest = format!("\"p\":\"{}\",{rest}", shared.process);
            shared.buffer.lock().add(&shared.clock, &rest);
        }
    }

    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        let shared = self.shared.as_ref();
        shared.map_or(0, |shared| shared.clock.nanos(instant))
    }

    pub(super) fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

impl Shared {
    fn line(&self, event: &str, rest: &str) -> String {
        format!("\"p\":\"{}\",\"e\":\"{event}\"{rest}", self.process)
    }

    /// Writes what waits. False: another thread writes.
    fn write(&self) -> bool {
        let Some(mut writer) = self.writer.lock().take() else {
            return false;
        };
        let (text, lost) = {
            let mut buffer = self.buffer.lock();
            if !buffer.is_closed() {
                buffer.force(&self.clock, &self.line("alive", ""));
            }
            buffer.take()
        };
        let mut lines = self.reports(lost);
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
        self.written.notify_all();
        true
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

    fn close(&self) {
        let close = self.line("close", "");
        if !self.buffer.lock().close(&self.clock, &close) {
            return;
        }
        let deadline = Instant::now() + CLOSES_WITHIN;
        while !self.write() {
            let mut writer = self.writer.lock();
            // No wake-up is lost: the writer comes back under the lock.
            while writer.is_none() {
                if Instant::now() >= deadline {
                    return;
                }
                writer = self.written.wait_until(writer, deadline);
            }
        }
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
