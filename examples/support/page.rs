//! Text on a grid: a column of labels, then text or columns of figures.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

/// The width of the longest figure, `123.4 ms`, and a gap.
const FIGURE: usize = 11;

/// Lines that are printed together.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    /// The width of the longest label and a gap.
    label: usize,
}

impl Page {
    pub(crate) fn new(label: usize) -> Page {
        Page {
            text: String::new(),
            label,
        }
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    pub(crate) fn row(&mut self, label: &str, text: &str) {
        let width = self.label;
        self.line(&format!("{label:<width$}{text}"));
    }

    pub(crate) fn cells(&mut self, label: &str, cells: &[&str]) {
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| format!("{cell:>FIGURE$}"))
            .collect();
        self.row(label, &cells.concat());
    }

    /// Prints the page. A reader that closes early, like `head`, is not a failure.
    pub(crate) fn print(&self) -> Result<(), String> {
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(self.text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
            _ => Ok(()),
        }
    }
}

/// `12 µs`, `3.4 ms`, `5.67 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
