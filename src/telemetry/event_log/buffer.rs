//! The lines that wait to be written.
//!
//! Guarantees that the lines are in the order of their instants, which are taken here, and that the
//! memory is bounded. A line for which there is no room is counted. Called by the sink, under its
//! lock: formats numbers and copies text, and runs no user code.

use std::{fmt::Write, time::Instant};

use super::clock::Clock;

/// The most bytes that wait. At 150 bytes a line, they are 50,000 events, or 250,000 events a
/// second.
const CAPACITY: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Buffer {
    text: String,
    /// Lines that were not kept or not written since the last `lost` line. Those after the close
    /// are not kept.
    lost: u64,
    is_closed: bool,
}

impl Buffer {
    /// Adds a line, or counts it if the log is closed or has no room.
    pub(super) fn add(&mut self, clock: &Clock, rest: &str) {
        if self.is_closed || self.text.len() + rest.len() > CAPACITY {
            self.lost += 1;
            return;
        }
        self.force(clock, rest);
    }

    /// Adds a line that is always kept. The sink adds few of them.
    pub(super) fn force(&mut self, clock: &Clock, rest: &str) {
        let at = clock.nanos(Instant::now());
        let text = &mut self.text;
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{{\"at\":{at},{rest}}}");
    }

    /// Adds the last line, unless it was closed before. True: something waits to be written.
    pub(super) fn close(&mut self, clock: &Clock, rest: &str) -> bool {
        if !self.is_closed {
            self.force(clock, rest);
            self.is_closed = true;
            return true;
        }
        self.lost > 0
    }

    /// Counts lines that could not be written.
    pub(super) fn lose(&mut self, lines: u64) {
        self.lost += lines;
    }

    /// Takes the lines, and how many were lost since the last call.
    pub(super) fn take(&mut self) -> (String, u64) {
        (
            std::mem::take(&mut self.text),
            std::mem::take(&mut self.lost),
        )
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted_and_memory_is_bounded() {
        let (clock, mut buffer) = (Clock::new(), Buffer::default());
        let rest = format!("\"e\":\"{}\"", "x".repeat(1_000));
        for _ in 0..20_000 {
            buffer.add(&clock, &rest);
        }
        let (text, lost) = buffer.take();
        assert!(text.len() < CAPACITY + 2_000);
        assert_eq!(text.lines().count() as u64 + lost, 20_000);
        assert!(lost > 0);
        buffer.add(&clock, "\"e\":\"alive\"");
        assert_eq!(buffer.take().1, 0);
    }

    #[test]
    fn a_closed_buffer_takes_no_line_and_counts_it() {
        let (clock, mut buffer) = (Clock::new(), Buffer::default());
        assert!(buffer.close(&clock, "\"e\":\"close\""));
        assert!(!buffer.close(&clock, "\"e\":\"close\""));
        buffer.add(&clock, "\"e\":\"alive\"");
        let (text, lost) = buffer.take();
        assert_eq!((text.lines().count(), lost), (1, 1));
    }
}
