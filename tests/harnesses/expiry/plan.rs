//! The messages between the processes of a run. Both directions are lines of JSON.

use std::time::Duration;

use cache_aside::Source;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{broken::Rule, instant::Instant};

/// The lease TTL of every cache here: the library's default. After a failed refresh, no caller
/// tries again for this time.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(2);

/// What one process needs to know of all runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// May hold a password, so it is sent through a pipe and never shown.
    pub(crate) url: String,
    /// The prefix of the run's keys.
    pub(crate) prefix: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    /// Reads a second, by all processes together.
    pub(crate) reads: u32,
    pub(crate) ttl: Duration,
    pub(crate) load: Duration,
    /// The length of each run.
    pub(crate) time: Duration,
    pub(crate) broken: Option<Rule>,
}

impl Plan {
    pub(crate) fn readers(&self) -> u32 {
        self.processes * self.threads
    }

    /// The time in which the primary fails, from the beginning of a run with failures.
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
    /// With grace, and a loader that belongs to the cache
    Background,
}

impl Run {
    pub(crate) const ALL: [Run; 6] = [
        Run::Plain,
        Run::Early,
        Run::Grace,
        Run::PlainFailing,
        Run::GraceFailing,
        Run::Background,
    ];

    /// The id of the record that is read.
    pub(crate) fn id(number: usize) -> String {
        format!("run-{number}")
    }

    pub(crate) fn has_grace(self) -> bool {
        matches!(self, Run::Grace | Run::GraceFailing | Run::Background)
    }

    pub(crate) fn is_failing(self) -> bool {
        matches!(self, Run::PlainFailing | Run::GraceFailing)
    }

    /// The title of a run, in words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Run::Plain => "plain expiry",
            Run::Early => "early refresh",
            Run::Grace => "grace",
            Run::PlainFailing => "plain expiry, failing primary",
            Run::GraceFailing => "grace, failing primary",
            Run::Background => "background refresh",
        }
    }

    /// The name of a run in one word, without the state of the primary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Run::Plain | Run::PlainFailing => "plain",
            Run::Early => "early",
            Run::Grace | Run::GraceFailing => "grace",
            Run::Background => "background",
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
    /// By the error of a loader: its own, or that of another read.
    Failed,
    /// Not a read: a thread of the cache reloaded the record.
    Background,
}

impl How {
    /// `None`: the source of the answer shows that Redis has a problem.
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
    /// The load of its own loader; `None` if that did not run.
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
