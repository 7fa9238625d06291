//! The outcomes of all turns, and the figures of the tables.

use std::time::Duration;

use crate::{
    figure,
    peer::Peer,
    spread::Spread,
    turn::{AFTER_WRITES, Outcome, Scenario},
};

/// What one peer did in the rounds of one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) scenario: Scenario,
    pub(crate) rounds: Vec<Outcome>,
}

/// What one peer did.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) peer: Peer,
    pub(crate) cells: Vec<Cell>,
}

impl Entry {
    pub(crate) fn new(peer: Peer) -> Entry {
        let cells = Scenario::ALL.map(|scenario| Cell {
            scenario,
            rounds: Vec::new(),
        });
        Entry {
            peer,
            cells: cells.into(),
        }
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.cells.iter().flat_map(|cell| &cell.rounds)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.outcomes().map(|outcome| outcome.tally.reads).sum()
    }

    pub(crate) fn stale(&self) -> u64 {
        self.outcomes().map(|outcome| outcome.tally.stale).sum()
    }

    /// The stale reads that are not within a bound that the documentation states.
    pub(crate) fn undocumented(&self) -> u64 {
        let documented = self.outcomes().map(|outcome| outcome.tally.documented);
        self.stale() - documented.sum::<u64>()
    }

    /// The version that the worker states.
    pub(crate) fn stated_version(&self) -> Option<&str> {
        let versions = self
            .outcomes()
            .filter_map(|outcome| outcome.tally.version.as_deref());
        versions.into_iter().find(|version| !version.is_empty())
    }
}

impl Cell {
    /// Stale reads per million reads, round by round.
    pub(crate) fn stale_per_million(&self) -> Spread {
        self.spread(|outcome| per_million(outcome.tally.stale, outcome.tally.reads))
    }

    pub(crate) fn errors_per_million(&self) -> Spread {
        self.spread(|outcome| {
            let tally = &outcome.tally;
            let errors = tally.read_errors + tally.write_errors;
            per_million(
                errors,
                tally.reads + tally.read_errors + outcome.sums.writes,
            )
        })
    }

    /// Loads for each version that was loaded at all.
    pub(crate) fn loads_per_version(&self) -> Spread {
        self.spread(|outcome| ratio(outcome.sums.loads, outcome.sums.loaded_versions))
    }

    pub(crate) fn reads_per_second(&self) -> Spread {
        self.spread(|outcome| ratio(outcome.tally.reads, 1) / outcome.length.as_secs_f64())
    }

    /// While there are writes.
    pub(crate) fn writes_per_second(&self) -> Spread {
        self.spread(|outcome| {
            let length = (outcome.length).saturating_sub(outcome.length / AFTER_WRITES);
            ratio(outcome.sums.writes, 1) / length.as_secs_f64()
        })
    }

    /// The median and the longest time for which a stale version stayed, over all rounds.
    pub(crate) fn stayed(&self) -> Option<(Duration, Duration)> {
        let rounds = self.rounds.iter();
        let mut stayed: Vec<_> = rounds.flat_map(|outcome| &outcome.sums.stayed).collect();
        stayed.sort_unstable();
        Some((**stayed.get(stayed.len() / 2)?, **stayed.last()?))
    }

    pub(crate) fn longest_read(&self) -> Duration {
        let reads = self.rounds.iter().map(|outcome| outcome.tally.longest_read);
        reads.max().unwrap_or_default()
    }

    /// The smallest, the middle and the largest of the rounds.
    fn spread(&self, figure: impl Fn(&Outcome) -> f64) -> Spread {
        let mut figures: Vec<_> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        let last = figures.len().saturating_sub(1);
        Spread {
            low: at(0),
            median: at(last / 2),
            high: at(last),
        }
    }
}

/// `120 (98–140)`, or one number if all rounds agree.
pub(crate) fn count(spread: Spread) -> String {
    let [low, median, high] = [spread.low, spread.median, spread.high].map(short);
    if low == high {
        median
    } else {
        format!("{median} ({low}–{high})")
    }
}

fn short(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else {
        figure::three_digits(value)
    }
}

fn per_million(part: u64, whole: u64) -> f64 {
    1e6 * ratio(part, whole.max(1))
}

#[allow(clippy::cast_precision_loss, reason = "some millions")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
