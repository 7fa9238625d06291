//! Errors of a store whose `Drop` uses the cache: none is dropped under a lock.

use std::{
    cell::Cell,
    error::Error as StdError,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Memory, Source,
    store::{Entry, Failure, FailureKind, Store},
};

use crate::{
    delegate::delegate,
    support::{load_loaf, until},
};

/// A store in memory that does not answer at times.
struct Away {
    within: Arc<dyn Store>,
    is_away: AtomicBool,
}

impl Away {
    fn answer(&self) -> Result<(), Failure> {
        if self.is_away.load(SeqCst) {
            return Err(Failure::new(FailureKind::Unavailable, NoAnswer));
        }
        Ok(())
    }
}

impl Store for Away {
    delegate! { within: acquire fill release back_off renew invalidate expire guard unguard update ttl refresh }

    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.answer()?;
        self.within.read(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.answer()
    }
}

/// Never dropped: the drop would wait for a thread that hangs.
static USED: OnceLock<(Backend, Cache)> = OnceLock::new();

/// How many drops have used the cache, and returned.
static DROPS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static IS_DROPPING: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl StdError for NoAnswer {}

impl Drop for NoAnswer {
    fn drop(&mut self) {
        if IS_DROPPING.replace(true) {
            return;
        }
        let (backend, cache) = USED.get().unwrap();
        // It may open the breaker.
        for _ in 0..10 {
            cache.get("used", load_loaf).unwrap();
        }
        // It asks the breaker why it is open.
        let another: Cache = Cache::builder(backend).prefix("another:").build().unwrap();
        drop(another);
        DROPS.fetch_add(1, SeqCst);
        IS_DROPPING.set(false);
    }
}

#[test]
fn an_error_that_uses_the_cache_when_it_is_dropped_waits_for_no_lock() {
    let store = Arc::new(Away {
        within: Memory::new(1_000).store(),
        is_away: AtomicBool::new(false),
    });
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let cache: Cache = Cache::builder(&backend).prefix("test:").build().unwrap();
    assert!(USED.set((backend, cache.clone())).is_ok());
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..5 {
            store.is_away.store(true, SeqCst);
            until(|| {
                drop(cache.get("x", load_loaf).unwrap());
                cache.stats().breaker_open
            });
            store.is_away.store(false, SeqCst);
            // The recovery closes the breaker, which had the last error.
            until(|| cache.get("x", load_loaf).unwrap().source() != Source::Degraded);
        }
        done.send(()).unwrap();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(60));
    waited.expect("no thread waits for its own lock");
    assert!(DROPS.load(SeqCst) > 5);
}
