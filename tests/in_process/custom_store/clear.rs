//! A `clear` that failed is repeated in the background. Its prefix is bypassed only until then.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Backend, Cache, Event, Memory, Record, Source,
    store::{
        ChangeListener, Cursor, Failure, FailureKind, KeyKind, Keys, ScanPage, Store, Subscription,
    },
};

use super::{MS, bypass::version};
use crate::{
    delegate::delegate,
    support::{until, until_recovered},
};

/// The store in memory, whose scans and invalidations can fail.
struct Failing {
    within: Arc<dyn Store>,
    scans_fail: Mutex<Option<FailureKind>>,
    invalidations_fail: AtomicBool,
    scans: AtomicUsize,
    /// How many scans were the first of a clear.
    attempts: AtomicUsize,
    /// Called before each scan.
    before_scan: Mutex<Option<Box<dyn FnMut() + Send>>>,
    /// How many pages a scan has at least.
    pages: AtomicU32,
}

impl Failing {
    fn new() -> Arc<Failing> {
        Arc::new(Failing {
            within: Memory::new(100_000).store(),
            scans_fail: Mutex::default(),
            invalidations_fail: AtomicBool::new(false),
            scans: AtomicUsize::new(0),
            attempts: AtomicUsize::new(0),
            before_scan: Mutex::default(),
            pages: AtomicU32::new(0),
        })
    }

    fn fail_scans(&self, kind: impl Into<Option<FailureKind>>) {
        *self.scans_fail.lock().unwrap() = kind.into();
    }

    fn before_scan(&self, action: impl FnMut() + Send + 'static) {
        *self.before_scan.lock().unwrap() = Some(Box::new(action));
    }
}

impl Store for Failing {
    delegate!(within: read read_with_ttl acquire refresh fill release back_off renew expire guard
        unguard update ttl ping);

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        if self.invalidations_fail.load(SeqCst) {
            return Err(Failure::new(FailureKind::Partial, "one node is away"));
        }
        self.within.invalidate(keys)
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.scans.fetch_add(1, SeqCst);
        if kind == KeyKind::Leases && cursor == Cursor::default() {
            self.attempts.fetch_add(1, SeqCst);
        }
        // Taken out, so that no lock is held during the call.
        let action = self.before_scan.lock().unwrap().take();
        if let Some(mut action) = action {
            action();
            let mut kept = self.before_scan.lock().unwrap();
            kept.get_or_insert(action);
        }
        if let Some(kind) = *self.scans_fail.lock().unwrap() {
            return Err(Failure::new(kind, "no scan today"));
        }
        // Empty pages come first.
        if cursor.node < u64::from(self.pages.load(SeqCst)) {
            let mut next = cursor;
            next.node += 1;
            let nothing = "nothing has this prefix";
            let mut empty = self.within.scan(nothing, KeyKind::Records, cursor)?;
            (empty.next, empty.fraction) = (Some(next), 0.0);
            return Ok(empty);
        }
        self.within.scan(prefix, kind, cursor)
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        self.within.track(prefix, bound, listener)
    }
}

fn backend(store: &Arc<Failing>) -> Backend {
    Backend::new(Arc::clone(store) as Arc<dyn Store>)
}

fn cache(backend: &Backend, prefix: &str) -> Cache {
    Cache::builder(backend).prefix(prefix).build().unwrap()
}

fn read(cache: &Cache, id: &str, new: &str) -> (String, Source) {
    let load = |_: &str| Ok::<_, Infallible>(Some(version(new)));
    let found = cache.get(id, load).unwrap();
    let record: &Record = found.record().unwrap();
    (record.get("version").unwrap().to_owned(), found.source())
}

fn is_bypassed(cache: &Cache) -> bool {
    cache.peek("any").is_err()
}

#[test]
fn a_failed_clear_is_repeated_and_its_prefix_is_read_again() {
    for kind in [
        FailureKind::Unavailable,
        FailureKind::Rejected,
        FailureKind::Partial,
    ] {
        let store = Failing::new();
        let backend = backend(&store);
        let (cleared, other) = (cache(&backend, "test:"), cache(&backend, "other:"));
        for cache in [&cleared, &other] {
            read(cache, "x", "old");
        }
        store.fail_scans(kind);
        assert!(cleared.clear().is_err());
        assert_eq!(read(&cleared, "x", "new"), ("new".into(), Source::Degraded));
        assert_eq!(read(&other, "x", "new"), ("old".into(), Source::Hit));
        // Nothing was filled, so that the old record is still there.
        assert!(store.within.ttl("test:x").unwrap().left().is_some());
        store.fail_scans(None);
        until(|| !is_bypassed(&cleared));
        assert_eq!(read(&cleared, "x", "new"), ("new".into(), Source::Loaded));
        assert_eq!(read(&cleared, "x", "newer"), ("new".into(), Source::Hit));
        assert_eq!(read(&other, "x", "new"), ("old".into(), Source::Hit));
    }
}

/// Also the removal of what the scan found.
#[test]
fn a_clear_that_could_remove_nothing_is_repeated() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    read(&cache, "x", "old");
    store.invalidations_fail.store(true, SeqCst);
    assert!(cache.clear().is_err());
    assert!(is_bypassed(&cache));
    store.invalidations_fail.store(false, SeqCst);
    until(|| !is_bypassed(&cache));
    assert_eq!(read(&cache, "x", "new"), ("new".into(), Source::Loaded));
}

#[test]
fn a_clear_whose_progress_panics_is_finished_in_the_background() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    read(&cache, "x", "old");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.clear_with_progress(|_| panic!("the program's own"))
    }));
    assert!(panicked.is_err());
    until(|| !is_bypassed(&cache));
    assert_eq!(read(&cache, "x", "new"), ("new".into(), Source::Loaded));
}

/// A load that began before the clear, and ends after the repetition.
#[test]
fn a_load_from_before_the_clear_does_not_fill_after_its_repetition() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    let (has_read, was_read) = mpsc::channel();
    let (let_go, was_let_go) = mpsc::channel();
    thread::scope(|scope| {
        let cache = &cache;
        let slow = scope.spawn(move || {
            cache.get("x", |_| {
                has_read.send(()).unwrap();
                was_let_go.recv_timeout(MS(60_000)).unwrap();
                Ok::<_, Infallible>(Some(version("old")))
            })
        });
        was_read.recv().unwrap();
        store.fail_scans(FailureKind::Unavailable);
        assert!(cache.clear().is_err());
        store.fail_scans(None);
        until(|| !is_bypassed(cache));
        let_go.send(()).unwrap();
        slow.join().unwrap().unwrap();
    });
    assert_eq!(read(&cache, "x", "new"), ("new".into(), Source::Loaded));
    assert_eq!(cache.stats().refused_fills, 1);
}

/// Runs `during` once, within the first scan of a repetition, and returns its result.
fn during_a_repetition<T: Send + 'static>(
    store: &Arc<Failing>,
    cleared: &Cache,
    during: impl FnOnce() -> T + Send + 'static,
) -> Receiver<T> {
    let (result, results): (Sender<T>, _) = mpsc::channel();
    store.fail_scans(FailureKind::Rejected);
    assert!(cleared.clear().is_err());
    let (mut during, within) = (Some(during), Arc::downgrade(store));
    store.before_scan(move || {
        let Some(during) = during.take() else { return };
        within.upgrade().unwrap().fail_scans(None);
        result.send(during()).unwrap();
    });
    results
}

/// The repetition began before the second failure, so it may have passed what came in between.
#[test]
fn a_clear_that_fails_during_a_repetition_is_repeated_too() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    let (again, failing) = (cache.clone(), Arc::downgrade(&store));
    let attempts = during_a_repetition(&store, &cache, move || {
        let store = failing.upgrade().unwrap();
        store.fail_scans(FailureKind::Rejected);
        assert!(again.clear().is_err());
        store.fail_scans(None);
        store.attempts.load(SeqCst)
    });
    let then = attempts.recv_timeout(MS(60_000)).unwrap();
    until(|| !is_bypassed(&cache));
    assert_eq!(store.attempts.load(SeqCst), then + 1);
}

#[test]
fn a_repetition_ends_early_once_the_caller_has_cleared_the_prefix() {
    let store = Failing::new();
    store.pages.store(1_000, SeqCst);
    let cache = cache(&backend(&store), "test:");
    let (again, failing) = (cache.clone(), Arc::downgrade(&store));
    let scans = during_a_repetition(&store, &cache, move || {
        again.clear().unwrap();
        failing.upgrade().unwrap().scans.load(SeqCst)
    });
    let then = scans.recv_timeout(MS(60_000)).unwrap();
    assert!(!is_bypassed(&cache));
    thread::sleep(MS(100));
    assert_eq!(store.scans.load(SeqCst), then);
}

#[test]
fn an_invalidation_is_replayed_while_a_clear_is_repeated() {
    let store = Failing::new();
    store.pages.store(1_000, SeqCst);
    let backend = backend(&store);
    let (cleared, other) = (cache(&backend, "test:"), cache(&backend, "other:"));
    let (writer, failing) = (other.clone(), Arc::downgrade(&store));
    during_a_repetition(&store, &cleared, move || {
        let store = failing.upgrade().unwrap();
        store.invalidations_fail.store(true, SeqCst);
        assert!(writer.invalidate("x").is_err());
        store.invalidations_fail.store(false, SeqCst);
        // Each scan takes a while from now on.
        store.before_scan(|| thread::sleep(MS(5)));
    })
    .recv_timeout(MS(60_000))
    .unwrap();
    until_recovered(&other);
    assert!(is_bypassed(&cleared), "the scan has not ended");
}

#[test]
fn a_drop_does_not_wait_for_the_end_of_a_repetition() {
    let store = Failing::new();
    store.pages.store(100_000, SeqCst);
    let cache = cache(&backend(&store), "test:");
    let failing = Arc::downgrade(&store);
    during_a_repetition(&store, &cache, move || {
        let store = failing.upgrade().unwrap();
        store.before_scan(|| thread::sleep(MS(5)));
    })
    .recv_timeout(MS(60_000))
    .unwrap();
    let began = Instant::now();
    drop(cache);
    // All pages would take minutes.
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// It takes up a tenth of the time at most.
#[test]
fn a_clear_that_is_refused_after_a_long_scan_is_repeated_after_a_long_pause() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    store.before_scan(|| thread::sleep(MS(200)));
    store.fail_scans(FailureKind::Rejected);
    assert!(cache.clear().is_err());
    until(|| store.scans.load(SeqCst) == 2);
    // The second one is over after 200 ms, and the third one begins two seconds later.
    thread::sleep(MS(1_500));
    assert_eq!(store.scans.load(SeqCst), 2);
    until(|| store.scans.load(SeqCst) == 3);
}

#[test]
fn a_repetition_ends_with_the_bypass() {
    let store = Failing::new();
    let brief = super::brief(&backend(&store));
    store.fail_scans(FailureKind::Rejected);
    assert!(brief.clear().is_err());
    // All entries of this cache have expired after 300 ms.
    until(|| !is_bypassed(&brief));
    thread::sleep(MS(100));
    let scans = store.scans.load(SeqCst);
    thread::sleep(MS(1_200));
    assert_eq!(store.scans.load(SeqCst), scans);
}

/// More than can be pending one by one: nobody asked to delete all keys with the prefix.
#[test]
fn too_many_pending_invalidations_delete_no_other_key_unless_the_caller_clears() {
    let store = Failing::new();
    let cache = cache(&backend(&store), "test:");
    read(&cache, "kept", "old");
    store.invalidations_fail.store(true, SeqCst);
    for id in 0..10_001 {
        assert!(cache.invalidate(format!("other {id}")).is_err());
    }
    store.invalidations_fail.store(false, SeqCst);
    until_recovered(&cache);
    assert!(is_bypassed(&cache));
    assert_eq!(store.scans.load(SeqCst), 0);
    assert!(store.within.ttl("test:kept").unwrap().left().is_some());
    cache.clear().unwrap();
    assert!(!is_bypassed(&cache));
    assert_eq!(read(&cache, "kept", "new"), ("new".into(), Source::Loaded));
}

#[test]
fn a_clear_ends_the_bypass_of_a_longer_prefix_and_not_of_a_shorter_one() {
    let store = Failing::new();
    let backend = backend(&store);
    let (short, long) = (cache(&backend, "test:"), cache(&backend, "test:long:"));
    // No repetition succeeds, but a call does.
    let overflow = |cache: &Cache| {
        store.invalidations_fail.store(true, SeqCst);
        for id in 0..10_001 {
            assert!(cache.invalidate(id).is_err());
        }
        store.invalidations_fail.store(false, SeqCst);
        until_recovered(cache);
    };
    overflow(&long);
    assert!(is_bypassed(&long) && !is_bypassed(&short));
    short.clear().unwrap();
    assert!(!is_bypassed(&long));
    overflow(&short);
    assert!(is_bypassed(&long) && is_bypassed(&short));
    long.clear().unwrap();
    assert!(is_bypassed(&long) && is_bypassed(&short));
}

#[test]
fn nothing_near_is_old_when_the_bypass_ends() {
    let store = Failing::new();
    let backend = backend(&store);
    let near = Cache::builder(&backend).prefix("test:").near_cache(10);
    let near: Cache = near.build().unwrap();
    until(|| read(&near, "x", "old").1 == Source::Near);
    store.fail_scans(FailureKind::Unavailable);
    assert!(near.clear().is_err());
    for _ in 0..3 {
        assert_eq!(read(&near, "x", "new"), ("new".into(), Source::Degraded));
    }
    store.fail_scans(None);
    until(|| !is_bypassed(&near));
    assert_eq!(read(&near, "x", "newer").0, "newer");
}

#[test]
fn a_bypass_is_reported_once_for_each_failed_clear_that_begins_one() {
    let store = Failing::new();
    let bypassed = Arc::new(AtomicU32::new(0));
    let heard = Arc::clone(&bypassed);
    let observer = move |_: &str, event: &Event<'_>| {
        if let Event::Bypassed { lasts } = event {
            // TTL, `max_load_time` and `lease_ttl`.
            assert!(*lasts > MS(60_000));
            heard.fetch_add(1, SeqCst);
        }
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.observer(observer).build().unwrap();
    for times in 1..=2 {
        store.fail_scans(FailureKind::Rejected);
        assert!(cache.clear().is_err() && cache.clear().is_err());
        assert_eq!(bypassed.load(SeqCst), times);
        store.fail_scans(None);
        until(|| !is_bypassed(&cache));
    }
}
