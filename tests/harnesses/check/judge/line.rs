//! The lines of an event log.

use serde::Deserialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A process opens its log. `error`: how far its clock may be off, in nanoseconds.
    Open,
    /// Nothing: the process has no earlier events.
    Alive,
    /// The process ends its log.
    Close,
    /// Lines are missing here.
    Lost,
    /// The system's clock was stepped: instants of other processes may not fit.
    Step,
    Lookup,
    /// A lookup ended with an error.
    Failed,
    /// A lookup goes on without Redis.
    Degraded,
    Load,
    Fill,
    /// An invalidation of a record or of a tag.
    End,
    /// An invalidation of a prefix.
    Clear,
}

/// A line. Its instants are in nanoseconds on a clock that all processes share.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    /// When it was added, which is before its call returned. `None`: its place says when.
    pub(crate) at: Option<u64>,
    /// The process.
    pub(crate) p: Box<str>,
    pub(crate) e: Kind,
    pub(crate) key: Option<Box<str>>,
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) began: Option<u64>,
    /// The source of an answer.
    pub(crate) from: Option<Box<str>>,
    /// The content of a record.
    #[serde(default, deserialize_with = "hexadecimal")]
    pub(crate) hash: Option<u64>,
    /// The content that an update in place has changed into this one.
    #[serde(default, deserialize_with = "hexadecimal")]
    pub(crate) was: Option<u64>,
    /// By how much a near hit may be late.
    pub(crate) near: Option<u64>,
    #[serde(default)]
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) version: Option<u64>,
    pub(crate) lag: Option<u64>,
    /// The load has found the content unchanged. The entry keeps its tags.
    #[serde(default)]
    pub(crate) unchanged: bool,
    pub(crate) outcome: Option<Box<str>>,
    #[serde(default)]
    pub(crate) client: u64,
    #[serde(default)]
    pub(crate) error: u64,
}

impl Line {
    pub(crate) fn parse(text: &str) -> Option<Line> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// When it began, or else when it was added.
    pub(crate) fn began(&self) -> u64 {
        self.began.or(self.at).unwrap_or_default()
    }

    pub(crate) fn at(&self) -> u64 {
        self.at.unwrap_or_default()
    }
}

fn hexadecimal<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<&str>::deserialize(from)?;
    let number = text.map(|text| u64::from_str_radix(text, 16));
    number.transpose().map_err(serde::de::Error::custom)
}
