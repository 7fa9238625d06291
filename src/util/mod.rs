//! Tools that know nothing of caches: threads, retries, a breaker, random numbers and locks.

pub(crate) mod backoff;
pub(crate) mod breaker;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod log_throttle;
pub(crate) mod per_process;
pub(crate) mod postponed;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod retry;
pub(crate) mod sync;
pub(crate) mod wakeup;
pub(crate) mod worker;
