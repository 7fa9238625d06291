//! Instants that are comparable across the processes of a machine.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Nanoseconds since the epoch, by the system's clock.
///
/// [`std::time::Instant`] is steadier, but it has no meaning in another process. If the clock is
/// set during a run, the figures of that run are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Instant {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // Good until the year 2554.
        Instant(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    #[allow(dead_code, reason = "not every example plans ahead")]
    pub(crate) fn after(self, time: Duration) -> Instant {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// Zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
