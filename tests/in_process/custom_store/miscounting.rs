//! A store that gives another number of answers than questions, or a scan without an end.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Memory, Record, Source,
    store::{
        BatchResult, Cursor, Failure, FailureKind, GuardRequest, KeyKind, Keys, ScanPage, Store,
        UnguardRequest,
    },
};

use crate::{
    delegate::delegate,
    support::{until, until_recovered},
};

struct Miscounting {
    within: Arc<dyn Store>,
    /// No invalidation of a single record works.
    refuses: AtomicBool,
    /// A batch that ends or guards records gets no answers, and does nothing.
    miscounts: AtomicBool,
    /// A scan has no end. Its cursors are the numbers below this, again and again.
    cycle: AtomicU64,
    scans: AtomicU64,
}

impl Miscounting {
    fn new() -> Arc<Miscounting> {
        Arc::new(Miscounting {
            within: Memory::new(100).store(),
            refuses: AtomicBool::new(false),
            miscounts: AtomicBool::new(false),
            cycle: AtomicU64::new(0),
            scans: AtomicU64::new(0),
        })
    }

    fn cache(self: &Arc<Miscounting>) -> Cache {
        let backend = Backend::new(Arc::clone(self) as Arc<dyn Store>);
        Cache::builder(backend).prefix("test:").build().unwrap()
    }
}

impl Store for Miscounting {
    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Rejected, "not this one"));
        }
        self.within.invalidate(keys)
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        if self.miscounts.load(SeqCst) {
            return Ok(Vec::new());
        }
        self.within.invalidate_all(all)
    }

    fn guard_all(&self, all: &[GuardRequest<'_>]) -> BatchResult<bool> {
        if self.miscounts.load(SeqCst) {
            return Ok(Vec::new());
        }
        self.within.guard_all(all)
    }

    fn unguard_all(&self, all: &[UnguardRequest<'_>]) -> BatchResult<bool> {
        if self.miscounts.load(SeqCst) {
            return Ok(Vec::new());
        }
        self.within.unguard_all(all)
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.scans.fetch_add(1, SeqCst);
        let page = self.within.scan(prefix, kind, cursor)?;
        let Some(position) = (cursor.position + 1).checked_rem(self.cycle.load(SeqCst)) else {
            return Ok(page);
        };
        let next = Some(Cursor { position, ..cursor });
        Ok(ScanPage { next, ..page })
    }

    delegate!(within: read acquire refresh fill release back_off renew expire guard unguard update ttl ping);
}

#[allow(clippy::unnecessary_wraps, reason = "it is a loader")]
fn load(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(Record::from([("version", "1")])))
}

/// Long enough for several attempts of the recovery, which begin 10 ms apart.
const SEVERAL: Duration = Duration::from_millis(200);

#[test]
fn an_invalidation_without_an_answer_stays_pending_until_it_has_one() {
    let store = Miscounting::new();
    let cache = store.cache();
    store.refuses.store(true, SeqCst);
    store.miscounts.store(true, SeqCst);
    assert!(cache.invalidate("p-001").is_err());
    thread::sleep(SEVERAL);
    assert_eq!(cache.stats().invalidations_pending, 1);
    store.miscounts.store(false, SeqCst);
    store.refuses.store(false, SeqCst);
    until_recovered(&cache);
}

#[test]
fn the_records_of_a_unit_without_an_answer_stay_pending_until_they_have_one() {
    let store = Miscounting::new();
    let cache = store.cache();
    store.miscounts.store(true, SeqCst);
    let written = cache.write_many(["p-001", "p-002"], || Ok::<_, Infallible>(()));
    let written = written.unwrap();
    assert!(written.guard_error().is_some());
    assert_eq!(written.deferred().len(), 2);
    thread::sleep(SEVERAL);
    assert_eq!(cache.stats().invalidations_pending, 2);
    store.miscounts.store(false, SeqCst);
    until_recovered(&cache);
}

#[test]
fn a_clear_is_not_done_while_records_have_no_answer() {
    let store = Miscounting::new();
    let cache = store.cache();
    // Two: a single record is no batch.
    for id in ["p-001", "p-002"] {
        cache.get(id, load).unwrap();
    }
    store.miscounts.store(true, SeqCst);
    assert!(cache.clear().is_err());
    let scans = store.scans.load(SeqCst);
    until(|| store.scans.load(SeqCst) > scans + 2);
    // Not the old record.
    assert_eq!(cache.get("p-001", load).unwrap().source(), Source::Degraded);
    store.miscounts.store(false, SeqCst);
    until(|| cache.get("p-001", load).unwrap().source() == Source::Loaded);
}

#[test]
fn a_scan_without_an_end_fails_the_clear() {
    for cycle in [1, 2, 100] {
        let store = Miscounting::new();
        let cache = store.cache();
        store.cycle.store(cycle, SeqCst);
        let clear = thread::spawn(move || cache.clear());
        until(|| clear.is_finished());
        let error = clear.join().unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("does not end"), "{error:#}");
        assert!(store.scans.load(SeqCst) < 1_000);
        store.cycle.store(0, SeqCst);
    }
}
