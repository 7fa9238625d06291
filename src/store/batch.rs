//! Steps of the protocol for many records at once: their arguments, and a fallback.
//!
//! The fallback is for a store that can only do one step after the other. Called by the client.

use std::time::Duration;

use super::{
    Store,
    failure::{Failure, FailureKind},
    keys::Keys,
    reply::Recheck,
    token::Token,
};
use crate::record::fields::Fields;

/// The results of a step for several records, in the order of the requests. Each may fail on its
/// own. If the whole request fails, the store did not answer, and it is not known which steps were
/// done.
pub type BatchResult<T> = Result<Vec<Result<T, Failure>>, Failure>;

/// One of several requests for a lease.
#[derive(Debug, Clone, Copy)]
pub struct AcquireRequest<'a> {
    /// The keys of the record.
    pub keys: &'a Keys,
    /// The caller's token: a different one in each request.
    pub token: Token,
    /// Which record to return if one exists by now.
    pub recheck: Recheck,
}

/// The end of one of several loads.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// The keys of the record.
    pub keys: &'a Keys,
    /// The token of its lease.
    pub token: Token,
    /// How the load ended.
    pub end: CompletionKind<'a>,
}

impl Completion<'_> {
    /// Ends this load alone.
    pub(crate) fn finish<S: Store + ?Sized>(&self, store: &S) -> Result<bool, Failure> {
        let &Completion { keys, token, end } = self;
        match end {
            CompletionKind::Fill(ttl, record) => store.fill(keys, token, ttl, record),
            CompletionKind::FillAt(ttl, record, version) => match store.versioned() {
                Some(versioned) => versioned.fill_at(keys, token, ttl, record, version),
                None => store.fill(keys, token, ttl, record),
            },
            CompletionKind::Keep(ttl) => store.keep(keys, token, ttl),
            CompletionKind::Release => store.release(keys, token),
            CompletionKind::BackOff(pause) => store.back_off(keys, token, pause),
        }
    }
}

/// How a load ends.
#[derive(Debug, Clone, Copy)]
pub enum CompletionKind<'a> {
    /// A [`fill`](super::Store::fill), with the record's TTL.
    Fill(Duration, &'a Fields),
    /// A [`fill_at`](super::VersionedStore::fill_at), with the record's TTL and its version.
    FillAt(Duration, &'a Fields, u64),
    /// A [`keep`](super::Store::keep), with the record's TTL.
    Keep(Duration),
    /// A [`release`](super::Store::release).
    Release,
    /// A [`back_off`](super::Store::back_off) for this time.
    BackOff(Duration),
}

impl CompletionKind<'_> {
    /// The TTL that the record gets. `None`: it gets none.
    pub(crate) fn total_ttl(&self) -> Option<Duration> {
        match *self {
            CompletionKind::Fill(ttl, _)
            | CompletionKind::FillAt(ttl, ..)
            | CompletionKind::Keep(ttl) => Some(ttl),
            CompletionKind::Release | CompletionKind::BackOff(_) => None,
        }
    }
}

/// One of several records to be [refreshed](super::Store::refresh).
#[derive(Debug, Clone, Copy)]
pub struct RefreshRequest<'a> {
    /// The keys of the record.
    pub keys: &'a Keys,
    /// The caller's token: a different one in each request.
    pub token: Token,
    /// The remaining TTL with which the record was read.
    pub left: Duration,
}

/// One of several records whose [write begins](super::Store::guard).
#[derive(Debug, Clone, Copy)]
pub struct GuardRequest<'a> {
    /// The keys of the record.
    pub keys: &'a Keys,
    /// Identifies this write of the record: a different token in each request.
    pub writer: Token,
    /// How long the writer's place in the guard lasts unless it is renewed.
    pub guard_ttl: Duration,
}

/// One of several records whose [write ends](super::Store::unguard).
#[derive(Debug, Clone, Copy)]
pub struct UnguardRequest<'a> {
    /// The keys of the record.
    pub keys: &'a Keys,
    /// The token with which the write began.
    pub writer: Token,
}

/// The kind of keys that a [`Store::scan`] looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Leases and guards.
    Leases,
    /// Records, and anything else at a data key.
    Records,
}

/// The position of a [`Store::scan`]. Each step of the scan returns the position of the next step.
/// A scan starts with the default, all 0. A second scan that must cover the same server as a first
/// one starts with all 0 except `epoch`, which it takes from the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The part of the store: the nodes of a cluster are scanned one after the other.
    pub node: u64,
    /// The position in that part.
    pub position: u64,
    /// Identifies the server to which the positions belong. The number changes when another server
    /// takes its place, because the positions mean nothing there.
    pub epoch: u64,
}

/// The result of one step of a [`Store::scan`].
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    /// The records that were found. Several steps may return the same one.
    pub keys: Vec<Keys>,
    /// The [`epoch`](Cursor::epoch) of the cursor for the next step. 0 if no other server can
    /// replace the store.
    pub epoch: u64,
    /// The cursor for the next step; `None` at the end.
    pub next: Option<Cursor>,
    /// How much of the store has been scanned so far, from 0 to 1. It only grows.
    pub fraction: f64,
}

/// Does the step for each record. The first timeout ends the batch, because the next step would
/// probably time out too.
pub(crate) fn one_by_one<I, T>(
    all: &[I],
    mut step: impl FnMut(&I) -> Result<T, Failure>,
) -> BatchResult<T> {
    let each = all.iter().map(|item| match step(item) {
        Err(failure) if failure.kind == FailureKind::Unavailable => Err(failure),
        done => Ok(done),
    });
    each.collect()
}
