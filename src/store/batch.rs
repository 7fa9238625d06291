//! Steps of the protocol for many records at once: their arguments, and the fallback for a store
//! that can only do one after the other.

use std::time::Duration;

use super::{
    Store,
    failure::{Failure, FailureKind},
    keys::Keys,
    token::Token,
};
use crate::record::fields::Fields;

/// The result of a step for each of several records, in the order of the requests. Each may fail by
/// itself. If the whole fails, the store did not answer, and nobody knows which were done.
pub type BatchResult<T> = Result<Vec<Result<T, Failure>>, Failure>;

/// One of several requests for a lease.
#[derive(Debug, Clone, Copy)]
pub struct AcquireRequest<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// The caller's: a different one in each request.
    pub token: Token,
    /// Return the record if there is one by now.
    pub recheck: bool,
}

/// The end of one of several loads.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// Of its lease.
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
            CompletionKind::Release => store.release(keys, token),
            CompletionKind::BackOff(pause) => store.back_off(keys, token, pause),
        }
    }
}

/// How a load ends.
#[derive(Debug, Clone, Copy)]
pub enum CompletionKind<'a> {
    /// By a [`fill`](super::Store::fill), with the record's TTL.
    Fill(Duration, &'a Fields),
    /// By a [`release`](super::Store::release).
    Release,
    /// By a [`back_off`](super::Store::back_off) for this time.
    BackOff(Duration),
}

/// One of several records to be [refreshed](super::Store::refresh).
#[derive(Debug, Clone, Copy)]
pub struct RefreshRequest<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// The caller's: a different one for each.
    pub token: Token,
    /// The remaining TTL with which the record was read.
    pub left: Duration,
}

/// What a [`Store::scan`](super::Store::scan) looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Leases, and guards.
    Leases,
    /// Records, and anything else at a data key.
    Records,
}

/// The position of a [`Store::scan`](super::Store::scan), which each of its steps hands to the
/// next. All 0 at first. To begin where another scan of the same store has ended, all 0 but
/// `epoch`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which part of the store: the nodes of a cluster are scanned one after the other.
    pub node: u64,
    /// The position in that part.
    pub position: u64,
    /// Identifies the server whose positions these are. The number changes when another server
    /// takes its place, for which the positions mean nothing.
    pub epoch: u64,
}

/// The result of one step of a [`Store::scan`](super::Store::scan).
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    /// The records that were found. Several steps may return the same one.
    pub keys: Vec<Keys>,
    /// The [`epoch`](Cursor::epoch) of the cursor for the next step. 0 if the store cannot be
    /// replaced by another.
    pub epoch: u64,
    /// The cursor for the next step; `None` at the end.
    pub next: Option<Cursor>,
    /// How much of the store has been scanned so far, from 0 to 1. It only grows.
    pub fraction: f64,
}

/// Does a step for each. The first time-out ends it: the next step would wait as long in vain.
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
