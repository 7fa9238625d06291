//! What every process is told, and what it tells in return. Both travel as lines of JSON.

use std::time::Duration;

use cache_aside::Source;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{broken::Rule, instant::Instant};

/// Of every cache here: the library's default. So long nobody tries again when a refresh has
/// failed.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(2);

/// What one process needs to know of all runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// May hold a password, so it is sent through a pipe and never shown.
    pub(crate) url: String,
    /// What the run's keys begin with.
    pub(crate) prefix: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    /// Reads a second, by all of them.
    pub(crate) reads: u32,
    pub(crate) ttl: Duration,
    pub(crate) load: Duration,
    /// Of each run.
    pub(crate) time: Duration,
    pub(crate) broken: Option<Rule>,
}

impl Plan {
    pub(crate) fn readers(&self) -> u32 {
        self.processes * self.threads
    }

    /// When the primary fails, in a run where it does, from the run's beginning.
    pub(crate) fn outage(&self) -> (Duration, Duration) {
        (self.time / 3, self.time * 2 / 3)
    }
}

/// One of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Run {
    /// Records that just expire
    Plain,
    /// With early refresh
    Early,
    /// With grace
    Grace,
    /// Records that just expire, of a primary that fails for a while
    PlainFailing,
    /// The same with grace
    GraceFailing,
}

impl Run {
    pub(crate) const ALL: [Run; 5] = [
        Run::Plain,
        Run::Early,
        Run::Grace,
        Run::PlainFailing,
        Run::GraceFailing,
    ];

    /// Of the record that is read.
    pub(crate) fn id(number: usize) -> String {
        format!("run-{number}")
    }

    pub(crate) fn has_grace(self) -> bool {
        matches!(self, Run::Grace | Run::GraceFailing)
    }

    pub(crate) fn is_failing(self) -> bool {
        matches!(self, Run::PlainFailing | Run::GraceFailing)
    }

    /// In words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Run::Plain => "plain expiry",
            Run::Early => "early refresh",
            Run::Grace => "grace",
            Run::PlainFailing => "plain expiry, failing primary",
            Run::GraceFailing => "grace, failing primary",
        }
    }

    /// In a word, without what the primary does.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Run::Plain | Run::PlainFailing => "plain",
            Run::Early => "early",
            Run::Grace | Run::GraceFailing => "grace",
        }
    }
}

/// How a read was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Hit,
    Stale,
    Refreshed,
    Loaded,
    Waited,
    /// By the error of a loader, its own or another's.
    Failed,
}

impl How {
    /// `None`: in a way that Redis must be in trouble for.
    pub(crate) fn of(source: Source) -> Option<How> {
        Some(match source {
            Source::Hit => How::Hit,
            Source::Stale => How::Stale,
            Source::Refreshed => How::Refreshed,
            Source::Loaded => How::Loaded,
            Source::Waited => How::Waited,
            _ => return None,
        })
    }
}

/// One read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) began: Instant,
    pub(crate) answered: Instant,
    pub(crate) how: How,
    /// What its own loader did; `None` where that did not run.
    pub(crate) load: Option<Load>,
}

impl Read {
    pub(crate) fn took(&self) -> Duration {
        self.answered.since(self.began)
    }
}

/// One load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) succeeded: bool,
}
