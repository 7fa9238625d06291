//! Handles invalidations whose request panics.
//!
//! It is not known what such a request did, and the primary may have changed before it. So its
//! records count as not invalidated: they become pending, as after a failure. It does not matter
//! whether a custom store, a logger or this crate panicked. Called by the client and by the write
//! path.

use std::{
    cell::Cell,
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
};

use super::StoreClient;
use crate::{error::Error, store::keys::Keys, telemetry::reporter::Reporter};

// A panic in a store or an observer has the same effect on the client as a failed request. The
// locks of the client do not poison, no user code runs under them, and each change under them is
// complete. Unwinding records the invalidation of the request as pending, and closes its
// connection. So a caller that catches the panic can continue to use the client.
impl UnwindSafe for StoreClient {}
impl RefUnwindSafe for StoreClient {}

/// A record whose invalidation is under way, and the cache that it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Ending<'a> {
    pub(crate) reporter: &'a Arc<Reporter>,
    /// The prefix of its data key: that of the cache, or one that the cache also invalidates.
    pub(crate) prefix: &'a str,
    pub(crate) keys: &'a Keys,
}

impl<'a> Ending<'a> {
    pub(crate) fn id(&self) -> &'a str {
        let id = self.keys.data.strip_prefix(self.prefix);
        id.unwrap_or_default()
    }
}

/// Records whose invalidation is under way. If a panic drops it, the rest are recorded as pending.
pub(crate) struct RememberOnDrop<'a> {
    client: &'a StoreClient,
    request: &'static str,
    /// The records whose request has not returned yet.
    left: Cell<&'a [Ending<'a>]>,
}

impl StoreClient {
    /// Makes these records pending on drop, unless their request has
    /// [returned](RememberOnDrop::returned).
    pub(crate) fn remember_on_drop<'a>(
        &'a self,
        request: &'static str,
        records: &'a [Ending<'a>],
    ) -> RememberOnDrop<'a> {
        RememberOnDrop {
            client: self,
            request,
            left: Cell::new(records),
        }
    }
}

impl RememberOnDrop<'_> {
    /// Call this when the request for the first `count` of the remaining records has returned, and
    /// the records for which it failed were recorded as pending.
    pub(super) fn returned_for(&self, count: usize) {
        let left = self.left.get();
        self.left.set(&left[count.min(left.len())..]);
    }

    /// Call this when the request has returned. If it failed, first record its records as pending.
    pub(crate) fn returned(self) {
        self.left.set(&[]);
    }

    /// Calls a user closure. If the closure panics, the records do not become pending.
    pub(crate) fn suspended<T>(&self, closure: impl FnOnce() -> T) -> T {
        let left = self.left.take();
        let value = closure();
        self.left.set(left);
        value
    }
}

impl Drop for RememberOnDrop<'_> {
    fn drop(&mut self) {
        for record in self.left.get() {
            let failure = panicked(self.request);
            self.client.remember(record, &failure);
            // First recorded as pending, then evicted, as in `StoreClient::invalidate`.
            self.client.evict(&record.keys.data);
        }
    }
}

/// The failure of a request that panicked.
pub(super) fn panicked(request: &'static str) -> Error {
    let cause = Arc::new(Panicked);
    Error::Store { request, cause }
}

/// The cause of an invalidation that may not have happened.
#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request panicked")
    }
}

impl std::error::Error for Panicked {}
