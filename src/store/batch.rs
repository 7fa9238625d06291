//! Steps of the protocol for many records at once: their arguments, and how a store does them that has no better way.

use std::time::Duration;

use super::{Failure, FailureKind, keys::Keys, token::Token};
use crate::record::fields::Fields;

/// What came of a step for each of several records, in the order in which they were given. Each may fail by itself;
/// where the whole fails, the store did not answer, and nobody knows which were done.
pub type BatchResult<T> = Result<Vec<Result<T, Failure>>, Failure>;

/// One of several questions for a lease.
#[derive(Debug, Clone, Copy)]
pub struct AcquireRequest<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// The caller's: another one in each question.
    pub token: Token,
    /// Hand the record over if there is one by now.
    pub recheck: bool,
}

/// The end of one of several loads.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// Of its lease.
    pub token: Token,
    /// What is to be done.
    pub end: CompletionKind<'a>,
}

/// How a load ends.
#[derive(Debug, Clone, Copy)]
pub enum CompletionKind<'a> {
    /// By a [`fill`](super::Store::fill), with the record's TTL.
    Fill(Duration, &'a Fields),
    /// By a [`release`](super::Store::release).
    Release,
    /// By a [`back_off`](super::Store::back_off) for so long.
    BackOff(Duration),
}

/// One of several records to be [refreshed](super::Store::refresh).
#[derive(Debug, Clone, Copy)]
pub struct RefreshRequest<'a> {
    /// Of the record.
    pub keys: &'a Keys,
    /// The caller's: another one for each.
    pub token: Token,
    /// How long it was seen to live on.
    pub left: Duration,
}

/// What is looked for in a [`Store::scan`](super::Store::scan).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Leases, and guards.
    Leases,
    /// Records, and whatever else stands at a data key.
    Records,
}

/// Where a [`Store::scan`](super::Store::scan) has come, as each of its steps tells the next. All 0
/// to begin with; or, to begin where another scan of the same store has removed, all but `of`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which of the parts that are gone through one after the other: the nodes of a cluster.
    pub node: u64,
    /// Where in that part.
    pub position: u64,
    /// Whose places these are: something that is another number where the store has become another, in which they mean nothing.
    pub epoch: u64,
}

/// What one step of a [`Store::scan`](super::Store::scan) has keys.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    /// Of which records. One may come in several steps.
    pub keys: Vec<Keys>,
    /// Whose places it went through: the [`epoch`](Cursor::epoch) of the cursor that goes on here. 0
    /// where there is only one store.
    pub epoch: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
    /// How much of the store has been gone through by now, from 0 to 1. It only grows.
    pub fraction: f64,
}

/// Does a step for each. The first silence ends it: the next step would wait as long for the same answer.
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
