//! Records a failed invalidation as pending, and reports that.
//!
//! Called by the client for records and for tags, before the failed call returns.

use super::{StoreClient, unwind::Ending};
use crate::{
    backend::pending::Recorded,
    error::Error,
    telemetry::{event::Event, reporter::Reporter, trace},
};

impl StoreClient {
    pub(super) fn remember(&self, record: &Ending<'_>, failure: &Error) {
        let pending = &self.state.pending;
        let memory = pending.remember(record.keys, record.prefix, record.reporter);
        let what = (record.id(), "the record is not");
        self.report_remembered(record.reporter, what, &memory, failure);
    }

    /// Starts the recovery, and reports what was recorded as pending. `what`: the id of the
    /// record, or the tag, and what is not read until the replay.
    pub(super) fn report_remembered(
        &self,
        reporter: &Reporter,
        (id, what): (&str, &str),
        memory: &Recorded,
        failure: &Error,
    ) {
        // Started before the reports, because reports call user code.
        self.start_recovery();
        reporter.report(&Event::InvalidationRemembered {
            id,
            is_new: matches!(memory, Recorded::First | Recorded::Kept),
        });
        match memory {
            Recorded::First => trace::warn!(
                "cache `{}`: the invalidation of {id:?} is pending and will be replayed; until then {what} read \
                 from the server: {failure:#}",
                reporter.cache
            ),
            Recorded::Kept | Recorded::Again | Recorded::PrefixKept => {}
            Recorded::Prefix(lasts) => {
                trace::error!(
                    "cache `{}`: too many invalidations are pending, so no record is read from the server for {lasts:?}",
                    reporter.cache
                );
                reporter.report(&Event::Bypassed { lasts: *lasts });
            }
        }
    }
}
