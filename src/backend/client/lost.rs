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
    /// Does not wait for a running check of the start, which takes up to one `connect_timeout` or
    /// more for each node. The recovery thread then holds the store until that check ends, and ends
    /// with it.
    fn drop(&mut self) {
        if self.state.startup.end() {
            self.recovery.detach();
        } else {
            self.recovery.join();
        }
        // The thread replays nothing any more: it has ended, or it finds that the client was
        // dropped.
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
        if !prefixes.is_empty() {
            let those = if count == 0 { "" } else { " and those" };
            let prefixes = prefixes.join("`, `");
            lost = format!("{lost}{those} of the whole prefix `{prefixes}`");
        }
        trace::error!(
            "the last cache on the store was dropped: {lost} did not reach the server and will not be repeated; other \
             processes may read the outdated records until these expire"
        );
        for (reporter, count) in &by_cache {
            reporter.report(&Event::InvalidationsLost { count: *count });
        }
    }
}
