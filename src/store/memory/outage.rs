//! Failures that a test asks for: the embedded store then fails as a server that is away.
//!
//! Guarantees that a step which fails here has done nothing. Called at the start of each step, and
//! by the handle of the program. Off, it costs one atomic load a step.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::store::{Failure, FailureKind};

/// `Relaxed` is enough: a thread that learns of a switch from the thread that set it sees it.
#[derive(Default)]
pub(super) struct Outage {
    is_unavailable: AtomicBool,
    /// How many of the next requests fail.
    failures: AtomicU64,
}

impl Outage {
    pub(super) fn set_unavailable(&self, is_unavailable: bool) {
        self.is_unavailable.store(is_unavailable, Ordering::SeqCst);
    }

    pub(super) fn is_unavailable(&self) -> bool {
        self.is_unavailable.load(Ordering::SeqCst)
    }

    pub(super) fn fail_next(&self, requests: u64) {
        self.failures.store(requests, Ordering::Relaxed);
    }

    /// Call it before a step does anything. A failure ends a batch, so a batch counts as one
    /// request.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.is_unavailable.load(Ordering::Relaxed) {
            return Err(unavailable("the store was set unavailable"));
        }
        if self.failures.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let one_less = |failures: u64| failures.checked_sub(1);
        let taken = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        match taken {
            Ok(_) => Err(unavailable("the request was told to fail")),
            Err(_) => Ok(()),
        }
    }
}

fn unavailable(why: &'static str) -> Failure {
    Failure::new(FailureKind::Unavailable, why)
}
