//! Checks that all settings share. The builders and the options per call use them.

use std::time::Duration;

use crate::error::Error;

/// The longest duration of any setting. Redis refuses an expiry that overflows its clock. A TTL of
/// more than ten years is a mistake.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Refuses a duration that is too short, or longer than any setting may be.
pub(crate) fn between(
    setting: &'static str,
    value: Duration,
    least: Duration,
) -> Result<(), Error> {
    within(setting, value, least, LONGEST)
}

/// Refuses a duration that is too short, or too long for this setting.
pub(crate) fn within(
    setting: &'static str,
    value: Duration,
    least: Duration,
    longest: Duration,
) -> Result<(), Error> {
    if value < least {
        return refuse(
            setting,
            format!("{value:?} is too short, it must be at least {least:?}"),
        );
    }
    if value > longest {
        let most = if longest == LONGEST {
            "ten years".to_owned()
        } else {
            format!("{longest:?}")
        };
        return refuse(
            setting,
            format!("{value:?} is too long, it must be at most {most}"),
        );
    }
    Ok(())
}

/// Refuses a setting, with the setting's name.
pub(crate) fn refuse<T>(setting: &'static str, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::InvalidSetting {
        setting,
        reason: reason.into(),
    })
}

/// Refuses a setting, with an error of another library as the reason.
#[cfg(feature = "tls")]
pub(crate) fn failed(setting: &'static str, reason: &impl ToString) -> Error {
    let reason = reason.to_string();
    Error::InvalidSetting { setting, reason }
}

/// The duration in whole milliseconds, as Redis takes it: at least one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
