//! The drop of a client. Invalidations that are still pending are lost with it.
//!
//! Guarantees that the loss is logged, and reported to each cache whose call left an invalidation
//! pending. No lock is held meanwhile, because a logger or an observer is user code.

use super::{StoreClient, recovery::ClientState};
use crate::{
    backend::pending::Lost,
    telemetry::{event::Event, trace},
};

impl Drop for StoreClient {
    /// Does not wait for the recovery thread, which holds the store until its attempt ends. If that
    /// attempt is a replay, it may still reach the server. It counts as lost nevertheless.
    fn drop(&mut self) {
        self.state.startup.end();
        self.state.report_lost();
    }
}

impl ClientState {
    fn report_lost(&self) {
        let Lost { by_cache, prefixes } = self.pending.take();
        let count: u64 = by_cache.iter().map(|(_, count)| count).sum();
        if count == 0 && prefixes.is_empty() {
            return;
        }
        let mut lost = match count {
            0 => "the pending invalidations".to_owned(),
            1 => "1 pending invalidation".to_owned(),
            _ => format!("{count} pending invalidations"),
        };
        if count > 0 {
            let each = by_cache.iter();
            let each =
                each.map(|(reporter, count)| format!("{count} of cache `{}`", reporter.cache));
            let each: Vec<_> = each.collect();
            lost = format!("{lost} ({})", each.join(", "));
        }
        if !prefixes.is_empty() {
            let those = if count == 0 { "" } else { " and those" };
            let prefixes = prefixes.join("`, `");
            lost = format!("{lost}{those} of the whole prefix `{prefixes}`");
        }
        trace::error!(
            "the last handle of the store was dropped: {lost} had not reached the server and will not be repeated; other \
             processes may read the outdated records until these expire"
        );
        for (reporter, count) in &by_cache {
            reporter.report(&Event::InvalidationsLost { count: *count });
        }
    }
}
