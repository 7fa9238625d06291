//! Merges the lines of several processes into the order of their instants.
//!
//! The lines of one process are in order, and each process adds one at least every fifth of a
//! second. So a line may go on once every open process has a later one. (That instant is the
//! *watermark* of stream processing.)
//!
//! Guarantees bounded memory: if a process is silent for too long, the others go on without it, and
//! the trace has a [gap](Merge::gaps).

use std::collections::{HashMap, VecDeque};

use super::line::{Kind, Line};

#[derive(Debug, Default)]
struct Stream {
    waiting: VecDeque<Line>,
    /// Its next line is not earlier.
    latest: u64,
    is_closed: bool,
}

/// What is missing in a trace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Lines that are no events, or of a process that has not opened its log.
    pub(crate) unreadable: u64,
    /// Reports of lines that were lost.
    pub(crate) lost: u64,
    /// Reports of events after the close of their process. Nobody has waited for them, so they may
    /// explain lookups of earlier lines.
    pub(crate) after_close: u64,
    /// Steps of the system's clock.
    pub(crate) steps: u64,
    /// Processes that did not close their logs.
    pub(crate) unclosed: u64,
    /// Lines that came after later ones.
    pub(crate) late: u64,
}

impl Gaps {
    pub(crate) fn any(&self) -> bool {
        *self != Gaps::default()
    }
}

#[derive(Debug)]
pub(crate) struct Merge {
    streams: HashMap<Box<str>, Stream>,
    waiting: usize,
    most: usize,
    /// The instant of the last line that went on.
    passed: u64,
    pub(crate) gaps: Gaps,
    /// How many processes there were.
    pub(crate) processes: u64,
    /// How far the clocks of two processes may be apart.
    pub(crate) slack: u64,
    largest_error: u64,
}

impl Merge {
    /// `most`: how many lines wait at most.
    pub(crate) fn new(most: usize) -> Merge {
        Merge {
            streams: HashMap::new(),
            waiting: 0,
            most,
            passed: 0,
            gaps: Gaps::default(),
            processes: 0,
            slack: 0,
            largest_error: 0,
        }
    }

    /// Adds the next line of the file.
    pub(crate) fn add(&mut self, line: Option<Line>) {
        let Some(line) = line else {
            self.gaps.unreadable += 1;
            return;
        };
        if line.e == Kind::Open {
            self.processes += 1;
            // The sum of the two largest errors.
            self.slack = self.slack.max(self.largest_error + line.error);
            self.largest_error = self.largest_error.max(line.error);
            self.streams.insert(line.p.clone(), Stream::default());
        }
        let Some(stream) = self.streams.get_mut(&line.p) else {
            match line.e {
                Kind::Lost => self.gaps.after_close += 1,
                _ => self.gaps.unreadable += 1,
            }
            return;
        };
        match (line.e, line.at) {
            (Kind::Lost, _) if stream.is_closed => self.gaps.after_close += 1,
            (Kind::Lost, _) => self.gaps.lost += 1,
            (Kind::Step, _) => self.gaps.steps += 1,
            (_, None) => self.gaps.unreadable += 1,
            (kind, Some(at)) => {
                // The first two lines of a process are written together, and wait for that.
                let is_event = !matches!(kind, Kind::Open | Kind::Alive);
                let is_late = at < stream.latest || at < self.passed && is_event;
                self.gaps.late += u64::from(is_late);
                stream.latest = stream.latest.max(at);
                stream.is_closed = kind == Kind::Close;
                stream.waiting.push_back(line);
                self.waiting += 1;
            }
        }
    }

    /// The next line in order, if it is known.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let heads = self.streams.iter();
            let heads =
                heads.filter_map(|(name, stream)| Some((stream.waiting.front()?.at(), name)));
            let (at, name) = heads.min()?;
            let mut streams = self.streams.values();
            let is_silent = |it: &Stream| it.waiting.is_empty() && !it.is_closed && it.latest < at;
            if streams.any(is_silent) {
                if self.waiting <= self.most {
                    return None;
                }
                let before = self.streams.len();
                self.streams.retain(|_, stream| !is_silent(stream));
                self.gaps.unclosed += (before - self.streams.len()) as u64;
                continue;
            }
            let name = name.clone();
            return self.take(&name);
        }
    }

    fn take(&mut self, name: &str) -> Option<Line> {
        let stream = self.streams.get_mut(name)?;
        let line = stream.waiting.pop_front()?;
        if stream.is_closed && stream.waiting.is_empty() {
            self.streams.remove(name);
        }
        self.waiting -= 1;
        self.passed = self.passed.max(line.at());
        Some(line)
    }

    /// The file has ended. The lines that wait go on.
    pub(crate) fn end(&mut self) {
        for stream in self.streams.values_mut() {
            self.gaps.unclosed += u64::from(!stream.is_closed);
            stream.is_closed = true;
        }
        self.streams.retain(|_, stream| !stream.waiting.is_empty());
    }

    /// How many lines wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(merge: &mut Merge, lines: &[(&str, &str, u64)]) {
        for (p, e, at) in lines {
            let text = format!(r#"{{"p":"{p}","e":"{e}","at":{at}}}"#);
            merge.add(Line::parse(&text));
        }
    }

    fn passed(merge: &mut Merge) -> Vec<u64> {
        std::iter::from_fn(|| merge.next())
            .map(|line| line.at())
            .collect()
    }

    #[test]
    fn a_line_waits_until_every_open_process_has_a_later_one() {
        let mut merge = Merge::new(100);
        add(
            &mut merge,
            &[
                ("a", "open", 1),
                ("b", "open", 2),
                ("a", "fill", 5),
                ("a", "fill", 9),
            ],
        );
        assert_eq!(passed(&mut merge), [1, 2]);
        add(&mut merge, &[("b", "alive", 7)]);
        assert_eq!(passed(&mut merge), [5, 7]);
        add(&mut merge, &[("b", "close", 8)]);
        assert_eq!(passed(&mut merge), [8, 9]);
        add(&mut merge, &[("a", "close", 10)]);
        merge.end();
        assert_eq!(passed(&mut merge), [10]);
        assert!(!merge.gaps.any());
    }

    #[test]
    fn a_process_that_is_silent_holds_nothing_up_for_ever_and_leaves_a_gap() {
        let mut merge = Merge::new(3);
        add(&mut merge, &[("a", "open", 1), ("b", "open", 1)]);
        add(
            &mut merge,
            &[("b", "fill", 3), ("b", "fill", 4), ("b", "fill", 5)],
        );
        assert_eq!(passed(&mut merge), [1, 1]);
        add(&mut merge, &[("b", "fill", 6)]);
        assert_eq!(passed(&mut merge), [3, 4, 5, 6]);
        assert_eq!(merge.gaps.unclosed, 1);
    }

    #[test]
    fn everything_that_is_missing_is_a_gap() {
        let gap = |lines: &[(&str, &str, u64)]| {
            let mut merge = Merge::new(100);
            add(&mut merge, lines);
            passed(&mut merge);
            merge.end();
            merge.gaps
        };
        assert!(!gap(&[("a", "open", 1), ("a", "close", 2)]).any());
        assert_eq!(gap(&[("a", "open", 1)]).unclosed, 1);
        assert_eq!(gap(&[("a", "fill", 1)]).unreadable, 1);
        assert_eq!(
            gap(&[("a", "open", 1), ("a", "lost", 1), ("a", "close", 2)]).lost,
            1
        );
        assert_eq!(
            gap(&[("a", "open", 1), ("a", "step", 1), ("a", "close", 2)]).steps,
            1
        );
        assert_eq!(
            gap(&[("a", "open", 5), ("a", "fill", 3), ("a", "close", 6)]).late,
            1
        );
        // Before and after the line of the close has passed.
        let closed = [("a", "open", 1), ("a", "close", 2), ("a", "lost", 3)];
        assert_eq!(gap(&closed).after_close, 1);
        let mut passed_on = Merge::new(100);
        add(&mut passed_on, &closed[..2]);
        passed(&mut passed_on);
        add(&mut passed_on, &closed[2..]);
        assert_eq!(passed_on.gaps.after_close, 1);
        let mut torn = Merge::new(100);
        torn.add(Line::parse(r#"{"p":"a","e":"lo"#));
        assert_eq!(torn.gaps.unreadable, 1);
    }

    #[test]
    fn the_slack_is_the_sum_of_the_two_largest_errors() {
        let mut merge = Merge::new(100);
        for (p, error) in [("a", 50), ("b", 70), ("c", 60)] {
            let text = format!(r#"{{"p":"{p}","e":"open","at":1,"error":{error}}}"#);
            merge.add(Line::parse(&text));
        }
        assert_eq!(merge.slack, 130);
    }
}
