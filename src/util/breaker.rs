//! The circuit breaker: spares callers the timeouts of a server that does not answer.
//!
//! Guarantees that after a number of failures *in a row* requests are refused until the breaker is
//! [closed](Breaker::close). It only counts. It knows nothing of servers, threads or probes. The
//! clients to a store and to a cluster node report the result of each request, and close the
//! breaker. A request that the server refused is not a failure here: it took no longer than any
//! other request.
//!
//! The pattern is from M. Nygard, "Release It!", 2007.

use std::{
    error::Error as StdError,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use super::sync::Mutex;
use crate::error::{Error, cause::Cause};

#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    /// Failures in a row, since the last success.
    failures: AtomicU32,
    /// Only `close` clears it: a request that was sent before the breaker opened may succeed later.
    open: AtomicBool,
    /// Why the breaker is open. Created once, and shared by all refused requests.
    why: Mutex<Option<Arc<Open>>>,
}

/// The cause of an error for which no request was sent. Its source is that of the last failure.
#[derive(Debug)]
pub(crate) struct Open {
    since: Instant,
    failures: u32,
    last: Error,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ago = self.since.elapsed();
        match self.failures {
            1 => write!(f, "not sent, because a request failed {ago:.1?} ago"),
            failures => write!(
                f,
                "not sent, because {failures} requests in a row failed, the last {ago:.1?} ago"
            ),
        }
    }
}

impl StdError for Open {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.last.source()
    }
}

impl Breaker {
    pub(crate) fn new(threshold: u32) -> Breaker {
        Breaker {
            threshold,
            failures: AtomicU32::new(0),
            open: AtomicBool::new(false),
            why: Mutex::new(None),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether the latest request failed.
    #[cfg(feature = "cluster")]
    pub(crate) fn has_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) != 0 || self.is_open()
    }

    /// Why requests are refused. `None` while the breaker is closed; that check costs one atomic
    /// load.
    pub(crate) fn refusal(&self) -> Option<Cause> {
        if !self.is_open() {
            return None;
        }
        let why = self.why.lock().clone();
        why.map(|open| open as Cause)
    }

    /// The failure that opened the breaker. `None` while it is closed.
    pub(crate) fn latest_failure(&self) -> Option<Error> {
        let why = self.why.lock();
        why.as_ref().map(|open| open.last.clone())
    }

    /// Records that the server answered. Costs one atomic load unless a failure came before.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Records a failure. Returns true if that opened the breaker. The caller must then schedule a
    /// probe.
    pub(crate) fn failed(&self, failure: &Error) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < self.threshold {
            return false;
        }
        let mut why = self.why.lock();
        if why.is_some() {
            return false;
        }
        // If another breaker refused the request, the reason of that breaker is more useful.
        let behind = failure.source().and_then(|cause| cause.downcast_ref());
        *why = Some(Arc::new(Open {
            since: Instant::now(),
            failures,
            last: behind.map_or(failure, |open: &Open| &open.last).clone(),
        }));
        // Under the lock, so that `open` and `why` change together.
        self.open.store(true, Ordering::Release);
        true
    }

    /// Opens the breaker after one failure, whatever the threshold. An open breaker takes the new
    /// reason.
    pub(crate) fn open(&self, failure: &Error) {
        let mut why = self.why.lock();
        *why = Some(Arc::new(Open {
            since: Instant::now(),
            failures: 1,
            last: failure.clone(),
        }));
        self.open.store(true, Ordering::Release);
    }

    /// Lets requests pass again. Returns whether it was open.
    pub(crate) fn close(&self) -> bool {
        let mut why = self.why.lock();
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
        why.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::cause::chain;

    fn failure() -> Error {
        Error::Store {
            request: "read",
            cause: Arc::new(std::io::Error::other("the wire was cut")),
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_in_between_prevents_that() {
        let breaker = Breaker::new(3);
        assert!(!breaker.failed(&failure()) && !breaker.failed(&failure()));
        breaker.succeeded();
        assert!(!breaker.failed(&failure()) && !breaker.failed(&failure()));
        assert!(breaker.refusal().is_none());
        assert!(breaker.failed(&failure()));
        let refusal = chain(&*breaker.refusal().unwrap()).to_string();
        assert!(refusal.starts_with("not sent, because 3 requests in a row failed"));
        assert!(refusal.ends_with(" ago: the wire was cut"), "{refusal}");
    }

    #[test]
    fn a_breaker_behind_another_reports_only_the_last_reason() {
        let (node, client) = (Breaker::new(1), Breaker::new(1));
        node.failed(&failure());
        let cause = node.refusal().unwrap();
        let request = "look";
        client.failed(&Error::Store { request, cause });
        let refusal = chain(&*client.refusal().unwrap()).to_string();
        assert_eq!(refusal.matches("not sent").count(), 1, "{refusal}");
        assert!(refusal.ends_with(" ago: the wire was cut"), "{refusal}");
    }

    #[test]
    fn a_breaker_that_is_opened_at_once_gives_the_latest_reason() {
        let breaker = Breaker::new(3);
        breaker.open(&failure());
        assert!(breaker.is_open());
        let refusal = chain(&*breaker.refusal().unwrap()).to_string();
        assert!(refusal.starts_with("not sent, because a request failed"));
        assert!(refusal.ends_with(" ago: the wire was cut"), "{refusal}");
        let (request, cause) = ("read", std::io::Error::other("the port is closed"));
        let cause = Arc::new(cause);
        breaker.open(&Error::Store { request, cause });
        let refusal = chain(&*breaker.refusal().unwrap()).to_string();
        assert!(refusal.ends_with(" ago: the port is closed"), "{refusal}");
        assert!(breaker.close() && breaker.refusal().is_none());
    }

    #[test]
    fn it_is_opened_once_and_a_late_success_does_not_close_it() {
        let breaker = Breaker::new(1);
        assert!(breaker.failed(&failure()));
        assert!(!breaker.failed(&failure()));
        breaker.succeeded();
        assert!(breaker.is_open());
        assert!(breaker.close());
        assert!(!breaker.close() && !breaker.is_open());
    }
}
