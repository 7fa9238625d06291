//! Loads that are on their way to a loader thread when the threads are stopped.

use std::{
    convert::Infallible,
    panic::resume_unwind,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, LoadingCache, Memory, Source,
    store::{Failure, FailureKind, Fields, Keys, Store, Token},
};

use super::bypass::version;
use crate::{delegate::delegate, support::until};

const LONG: Duration = Duration::from_secs(20);

/// A store that keeps the thread that fills `busy`, and whose invalidations fail on demand.
struct Keeping {
    within: Arc<dyn Store>,
    stop: Arc<Stop>,
    /// The fill panics, and only the drop of the payload keeps the thread.
    panics: bool,
    refuses: AtomicBool,
}

/// The thread arrives here, and later the test lets it go on.
struct Stop {
    arrived: Barrier,
    may_go: Barrier,
}

impl Stop {
    fn here(&self) {
        self.arrived.wait();
        self.may_go.wait();
    }
}

struct StopsInDrop(Arc<Stop>);

impl Drop for StopsInDrop {
    fn drop(&mut self) {
        self.0.here();
    }
}

impl Store for Keeping {
    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        if keys.data.ends_with("busy") {
            if self.panics {
                resume_unwind(Box::new(StopsInDrop(Arc::clone(&self.stop))));
            }
            self.stop.here();
        }
        self.within.fill(keys, token, ttl, record)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Rejected, "not today"));
        }
        self.within.invalidate(keys)
    }

    delegate! { within: read read_with_ttl acquire refresh release back_off renew expire guard unguard update ttl ping }
}

fn store(panics: bool) -> Arc<Keeping> {
    Arc::new(Keeping {
        within: Memory::new(100).store(),
        stop: Arc::new(Stop {
            arrived: Barrier::new(2),
            may_go: Barrier::new(2),
        }),
        panics,
        refuses: AtomicBool::new(false),
    })
}

fn cache(store: &Arc<Keeping>) -> Cache {
    let backend = Backend::new(Arc::<Keeping>::clone(store));
    Cache::builder(backend).prefix("test:").build().unwrap()
}

fn loading(cache: &Cache, hard: Duration) -> LoadingCache {
    let load = |_: &str| Ok::<_, Infallible>(Some(version("new")));
    let builder = LoadingCache::builder(cache, load).hard_timeout(hard);
    builder.threads(1).build().unwrap()
}

/// The thread has given its place back, and takes no task yet. The invalidation is pending, so the
/// store must not be asked, whatever happens to the task.
#[test]
fn a_load_that_a_shutdown_drops_does_not_read_what_an_invalidation_should_have_ended() {
    let store = store(true);
    let cache = cache(&store);
    let loading = loading(&cache, LONG);
    let old = |_: &str| Ok::<_, Infallible>(Some(version("old")));
    cache.get("x", old).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| loading.get("busy").unwrap_err());
        store.stop.arrived.wait();
        store.refuses.store(true, SeqCst);
        assert!(cache.invalidate("x").is_err());
        let found = scope.spawn(|| loading.get("x").unwrap());
        until(|| cache.stats().degraded == 1);
        thread::sleep(Duration::from_millis(50)); // until its load waits for the thread
        assert!(!loading.shutdown(Duration::ZERO));
        let found = found.join().unwrap();
        store.stop.may_go.wait();
        assert_eq!(**found.record().unwrap(), version("new"));
        assert_eq!(found.source(), Source::Degraded);
        assert_eq!(cache.stats().degraded, 1);
    });
}

#[test]
fn no_lease_waits_for_a_thread_that_fills() {
    let store = store(false);
    let (cache, other) = (cache(&store), cache(&store));
    let loading = loading(&cache, Duration::from_secs(2));
    thread::scope(|scope| {
        let slow = scope.spawn(|| loading.get("busy"));
        store.stop.arrived.wait();
        let late = scope.spawn(|| loading.get("x"));
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(50)); // until it waits for the thread
        // It has no lease, so nobody waits for it.
        let old = |_: &str| Ok::<_, Infallible>(Some(version("old")));
        let found = other.get("x", old).unwrap();
        assert_eq!(found.source(), Source::Loaded);
        store.stop.may_go.wait();
        let _ = slow.join().unwrap();
        assert!(late.join().unwrap().is_ok());
    });
}
