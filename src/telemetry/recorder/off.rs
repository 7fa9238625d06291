//! The recorder without the feature `event-log`: it does nothing.

use std::time::Instant;

use serde::Serialize;

use super::{Ended, LoadedRecord, RecordedCache};
use crate::{error::Error, outcome::Source, record::any::AnyRecord, store::token::Token};

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum EventLog {}

#[derive(Debug, Default)]
pub(crate) struct Recorder(());

#[derive(Debug, Clone, Copy)]
pub(crate) struct Began;

impl Began {
    pub(crate) fn now() -> Began {
        Began
    }

    #[expect(clippy::unused_self, reason = "the other one has a use for it")]
    pub(crate) fn of_version(self, _version: Option<u64>) -> Began {
        Began
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Fingerprint;

#[expect(clippy::unused_self, reason = "the other one has a use for it")]
impl Fingerprint {
    #[expect(clippy::extra_unused_type_parameters, reason = "as above")]
    pub(crate) fn of_type<R: Serialize + 'static>() -> Fingerprint {
        Fingerprint
    }

    pub(crate) fn of(self, _record: Option<&AnyRecord>) -> Option<u64> {
        None
    }
}

#[expect(clippy::unused_self, reason = "the other one has a use for it")]
impl Recorder {
    pub(crate) fn new(_of: RecordedCache) -> Recorder {
        Recorder(())
    }

    pub(crate) fn is_on(&self) -> bool {
        false
    }

    pub(crate) fn lookup(
        &self,
        _id: &str,
        _began: Instant,
        _found: (Source, Option<&AnyRecord>),
        _fingerprint: Fingerprint,
        _tags: &[String],
    ) {
    }

    pub(crate) fn failed(&self, _id: &str, _began: Instant) {}

    pub(crate) fn degraded(&self, _id: &str, _cause: &Error) {}

    pub(crate) fn load<'a>(
        &self,
        _record: Option<&AnyRecord>,
        _fingerprint: Fingerprint,
        _loaded: impl FnOnce() -> LoadedRecord<'a>,
    ) {
    }

    pub(crate) fn fill(&self, _id: &str, _token: Token, _outcome: &str) {}

    pub(crate) fn ended(&self, _key: &str, _began: Began, _how: Ended) {}

    pub(crate) fn cleared(&self, _prefix: &str, _began: Began, _how: Ended) {}
}
