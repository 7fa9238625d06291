//! The checks that all settings share.

use std::time::Duration;

use crate::error::Error;

/// The bound of every duration setting. Redis refuses an expiry that overflows its clock, and a TTL
/// of more than ten years is a mistake.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Refuses a duration that is too short or too long.
pub(crate) fn between(
    setting: &'static str,
    value: Duration,
    least: Duration,
) -> Result<(), Error> {
    if value < least {
        return refuse(
            setting,
            format!("{value:?} is too short, it must be at least {least:?}"),
        );
    }
    if value > LONGEST {
        return refuse(
            setting,
            format!("{value:?} is too long, it must be at most ten years"),
        );
    }
    Ok(())
}

/// Refuses a setting by its name.
pub(crate) fn refuse<T>(setting: &'static str, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::InvalidSetting {
        setting,
        reason: reason.into(),
    })
}

/// Refuses a setting by its name, with the error of another library as the reason.
pub(crate) fn failed(setting: &'static str, reason: &impl ToString) -> Error {
    let reason = reason.to_string();
    Error::InvalidSetting { setting, reason }
}

/// A duration as Redis takes it: whole milliseconds, at least one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
