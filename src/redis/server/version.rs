//! The version of a server.
//!
//! Used by the check of a server. Sends nothing.

use std::fmt;

/// The oldest Redis on which every guarantee holds. In older versions, `EXEC` does not notice that
/// a watched record has expired. An update of such a record would leave a part of it, without a
/// TTL.
pub(crate) const OLDEST: Version = Version(6, 0, 9);

/// Ordered from old to new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    /// Parses the numbers of a text like `7.4.0-v1`. A missing patch number counts as 0.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let mut parts = text.splitn(3, '.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].parse().ok()
        });
        let (major, minor) = (parts.next()??, parts.next()??);
        Some(Version(major, minor, parts.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
