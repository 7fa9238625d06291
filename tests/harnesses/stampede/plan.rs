//! The messages between the processes of a run. Both directions are lines of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::instant::Instant;

/// One run, with everything that a process must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// May hold a password, so it is sent through a pipe and never shown.
    pub(crate) url: String,
    /// The prefix of the run's keys.
    pub(crate) prefix: String,
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) rounds: u32,
    pub(crate) load: Duration,
    pub(crate) ttl: Duration,
    pub(crate) primary: Primary,
    pub(crate) protected: bool,
    /// Whether Redis wakes a process when another one has loaded.
    pub(crate) tracking: bool,
}

impl Plan {
    pub(crate) fn readers(&self) -> u64 {
        u64::from(self.processes) * u64::from(self.threads)
    }

    /// The id of the record that is cold in this round.
    pub(crate) fn id(round: u32) -> String {
        format!("round-{round}")
    }
}

/// How the primary store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Primary {
    Finds,
    Missing,
    Failing,
}

/// How one reader was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Hit,
    Loaded,
    Waited,
    Degraded,
    /// By the error of a loader: its own, or another's. `--failing` asks for that.
    LoaderError,
    /// By any other error, or by a record that is not the primary's.
    OtherError,
}

/// What one reader saw in one round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reader {
    pub(crate) how: How,
    pub(crate) started: Instant,
    /// When its own loader returned; `None` if that did not run.
    pub(crate) load_ended: Option<Instant>,
    pub(crate) answered: Instant,
}

/// What the readers of one process saw in one round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) readers: Vec<Reader>,
    /// The first unexpected error, including one that only degraded a lookup.
    pub(crate) trouble: Option<String>,
}
