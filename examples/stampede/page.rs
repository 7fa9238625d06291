//! Text on a grid: a column of labels, then text or columns of figures.

use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};

use crate::figures::Spread;

/// As wide as the longest label and a gap.
const LABEL: usize = 28;
/// As wide as the longest figure, `123.4 ms`, and a gap.
const FIGURE: usize = 11;

/// Lines that are printed together.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    pub(crate) fn row(&mut self, label: &str, text: &str) {
        self.line(&format!("{label:<LABEL$}{text}"));
    }

    pub(crate) fn cells(&mut self, label: &str, cells: &[&str]) {
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| format!("{cell:>FIGURE$}"))
            .collect();
        self.row(label, &cells.concat());
    }

    /// The figures of a set of durations. Nothing where there are none.
    pub(crate) fn spread(&mut self, label: &str, spread: &Spread, with_p99: bool) {
        let figure = |percent| spread.percentile(percent).map(duration).unwrap_or_default();
        if spread.samples().is_empty() {
            return;
        }
        // One sample a round is too few for it.
        let p99 = if with_p99 { figure(99) } else { String::new() };
        self.cells(label, &[&figure(0), &figure(50), &p99, &figure(100)]);
    }

    /// A reader that has seen enough, like `head`, is no failure.
    pub(crate) fn print(&self) -> Result<(), String> {
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(self.0.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
            _ => Ok(()),
        }
    }
}

/// `12 µs`, `3.4 ms`, `5.67 s`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
