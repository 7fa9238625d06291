//! What a cache writes to its event log, if it has one. Without the feature `event-log`, nothing.
//!
//! Guarantees that a cache without a log pays one branch for each event. Called by the read path,
//! the write path and the client: each event has one place in the code.
//!
//! | event | when its line is added | what `began` is |
//! |---|---|---|
//! | lookup | before the lookup returns | before its first read |
//! | load | before anybody gets the record or the fill is sent | before the loader is called |
//! | fill | after the answer of the store | |
//! | end | before the invalidation returns | before its request |
//!
//! So whoever sees the effect of an event finds the line of that event earlier in the log. The
//! check depends on that. `tests/harnesses/check/` has the rules of the check, and the reasons.

#[cfg_attr(feature = "event-log", path = "recorder/on.rs")]
#[cfg_attr(not(feature = "event-log"), path = "recorder/off.rs")]
mod switch;

pub(crate) use self::switch::{Began, EventLog, Fingerprint, Recorder};

use std::time::Duration;

use crate::store::token::Token;

/// What a recorder knows of its cache.
#[cfg_attr(
    not(feature = "event-log"),
    expect(dead_code, reason = "only a log has a use for it")
)]
pub(crate) struct RecordedCache {
    pub(crate) log: Option<EventLog>,
    pub(crate) prefix: String,
    /// How late a near hit may be about invalidations of other clients.
    pub(crate) near_staleness: Duration,
    /// Identifies the client in its process.
    pub(crate) client: usize,
}

/// A load that has returned a record, or that there is none.
#[cfg_attr(
    not(feature = "event-log"),
    expect(dead_code, reason = "only a log has a use for it")
)]
pub(crate) struct LoadedRecord<'a> {
    pub(crate) id: &'a str,
    pub(crate) began: Began,
    /// `None`: it is no load under a lease or a guard.
    pub(crate) token: Option<Token>,
    pub(crate) version: Option<u64>,
    /// How far the replica may lag that was read. `None`: the primary was read.
    pub(crate) lag: Option<Duration>,
    /// Whether the entry stays, with its tags.
    pub(crate) is_unchanged: bool,
    /// The keys of the tags that the loader named.
    pub(crate) tags: Vec<String>,
    /// The clock of the tags, from before the load.
    pub(crate) clock: Option<String>,
    /// The fingerprint of the record that an update in place has changed into this one.
    pub(crate) was: Option<u64>,
}

/// How an invalidation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// The record and its lease have ended, and a guard is set.
    Guarded,
    /// It did not reach the store.
    Pending,
}
