//! A store that panics in a step that ends a record. The invalidation is pending all the same.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Memory, Record, Source, UnitOfWork,
    store::{
        BatchResult, Change, ChangeListener, Cursor, Failure, KeyKind, Keys, NewTtl, ScanPage,
        Store, Subscription, Token, Update,
    },
};

use super::{MS, bypass::version};
use crate::{
    delegate::delegate,
    support::{until, until_recovered},
};

/// The store in memory. While it is broken, each step that ends a record panics.
struct Fragile {
    within: Arc<dyn Store>,
    is_broken: AtomicBool,
    /// Panics before the step, or after it.
    when_done: AtomicBool,
    /// How many records of a batch are ended before the panic.
    batch: AtomicU32,
}

impl Fragile {
    fn new() -> Arc<Fragile> {
        Arc::new(Fragile {
            within: Memory::new(100_000).store(),
            is_broken: AtomicBool::new(false),
            when_done: AtomicBool::new(false),
            batch: AtomicU32::new(0),
        })
    }

    fn end<T>(&self, step: impl FnOnce(&dyn Store) -> T) -> T {
        let is_broken = self.is_broken.load(SeqCst);
        let when_done = self.when_done.load(SeqCst);
        assert!(!is_broken || when_done, "the store's own");
        let done = step(&*self.within);
        assert!(!is_broken, "the store's own");
        done
    }
}

impl Store for Fragile {
    delegate!(within: read read_with_ttl acquire refresh fill release back_off renew ttl ping);

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.end(|store| store.invalidate(keys))
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        if self.is_broken.load(SeqCst) {
            let some = usize::try_from(self.batch.load(SeqCst))
                .unwrap()
                .min(all.len());
            self.within.invalidate_all(&all[..some])?;
        }
        self.end(|store| store.invalidate_all(all))
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.within.scan(prefix, kind, cursor)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.end(|store| store.expire(keys, stay))
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.end(|store| store.guard(keys, writer, guard_ttl))
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.end(|store| store.unguard(keys, writer))
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.end(|store| store.update(keys, ttl, change))
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

/// A cache on it, the primary, and the result of a lookup.
struct Shop {
    store: Arc<Fragile>,
    cache: Cache,
    primary: AtomicU32,
}

impl Shop {
    fn new(near: bool) -> Shop {
        let store = Fragile::new();
        let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
        let builder = Cache::builder(backend).prefix("test:").grace(MS(60_000));
        let builder = builder.lease_ttl(MS(500));
        let builder = if near {
            builder.near_cache(100)
        } else {
            builder
        };
        let cache = builder.build().unwrap();
        let primary = AtomicU32::new(1);
        let shop = Shop {
            store,
            cache,
            primary,
        };
        if near {
            until(|| {
                shop.read();
                shop.read().1 == Source::Near
            });
        } else {
            shop.read();
        }
        shop
    }

    fn load(&self) -> Record {
        version(&self.primary.load(SeqCst).to_string())
    }

    fn read(&self) -> (String, Source) {
        self.read_id("x")
    }

    fn read_id(&self, id: &str) -> (String, Source) {
        let load = |_: &str| Ok::<_, Infallible>(Some(self.load()));
        let found = self.cache.get(id, load).unwrap();
        let version = found.record().unwrap().get("version").unwrap().to_owned();
        (version, found.source())
    }

    /// Commits version 2, and makes a call that panics in the store.
    fn panics<T>(&self, call: impl FnOnce(&Cache) -> T) {
        self.primary.store(2, SeqCst);
        self.store.is_broken.store(true, SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| call(&self.cache))).is_err());
    }

    /// No old record is read now, nor after the store works again. `pending`: the number of pending
    /// invalidations.
    fn nothing_is_stale(&self, ids: &[&str], pending: u64) {
        assert_eq!(self.cache.stats().invalidations_pending, pending);
        for id in ids {
            assert_eq!(self.read_id(id), ("2".to_owned(), Source::Degraded), "{id}");
        }
        self.store.is_broken.store(false, SeqCst);
        until_recovered(&self.cache);
        for id in ids {
            until(|| {
                let (version, source) = self.read_id(id);
                assert_eq!(version, "2", "{id}, from {source:?}");
                source == Source::Hit || source == Source::Near
            });
        }
    }
}

/// Each call, with a panic before or after the step, with and without a near record.
fn each_way(call: impl Fn(&Cache)) {
    for (near, when_done) in [(false, false), (false, true), (true, false)] {
        let shop = Shop::new(near);
        shop.store.when_done.store(when_done, SeqCst);
        shop.panics(&call);
        shop.nothing_is_stale(&["x"], 1);
    }
}

#[test]
fn an_invalidate_that_panics_is_remembered_and_replayed() {
    each_way(|cache| drop(cache.invalidate("x")));
}

#[test]
fn an_expire_that_panics_is_remembered_and_replayed() {
    each_way(|cache| drop(cache.expire("x")));
}

#[test]
fn an_update_of_a_field_that_panics_is_remembered_and_replayed() {
    each_way(|cache| drop(cache.update_field("x", "version", "2")));
}

#[test]
fn an_update_that_panics_is_remembered_and_replayed() {
    each_way(|cache| drop(cache.update("x", |_| Some(version("2")))));
}

/// The closure has seen the record, and the panic comes after it.
#[test]
fn an_update_that_panics_after_its_closure_left_the_record_as_it_is_is_remembered() {
    let shop = Shop::new(false);
    shop.store.when_done.store(true, SeqCst);
    shop.panics(|cache| cache.update("x", |_| None));
    shop.nothing_is_stale(&["x"], 1);
}

#[test]
fn a_write_whose_guard_panics_is_remembered_and_replayed() {
    each_way(|cache| drop(cache.write("x", || Ok::<_, Infallible>(()))));
}

#[test]
fn a_write_whose_unguard_panics_is_remembered_and_replayed() {
    for (near, when_done) in [(false, false), (false, true), (true, false)] {
        let shop = Shop::new(near);
        shop.store.when_done.store(when_done, SeqCst);
        let write = || {
            shop.cache.write("x", || {
                shop.primary.store(2, SeqCst);
                shop.store.is_broken.store(true, SeqCst);
                Ok::<_, Infallible>(())
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
        shop.nothing_is_stale(&["x"], 1);
    }
}

#[test]
fn a_write_whose_change_and_unguard_both_panic_is_remembered_and_the_process_lives() {
    let shop = Shop::new(false);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        shop.cache.write("x", || -> Result<(), Infallible> {
            shop.primary.store(2, SeqCst);
            shop.store.is_broken.store(true, SeqCst);
            panic!("the closure's own")
        })
    }));
    let panic = panicked.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the closure's own"));
    shop.nothing_is_stale(&["x"], 1);
}

#[test]
fn of_a_unit_whose_guards_or_ends_panic_every_record_is_remembered_and_replayed() {
    let ids = ["x", "y", "z"];
    // The panic comes in `guard`, in `commit`, or in the drop after another panic.
    for way in 0..3 {
        let shop = Shop::new(false);
        for id in ids {
            shop.read_id(id);
        }
        let break_store = |at| shop.store.is_broken.fetch_or(way == at, SeqCst);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut unit = UnitOfWork::new();
            for id in ids {
                unit.add(&shop.cache, id).unwrap();
            }
            break_store(0);
            unit.guard();
            shop.primary.store(2, SeqCst);
            break_store(1);
            break_store(2);
            assert!(way < 2, "the primary's own");
            drop(unit.commit());
        }));
        let panic = panicked.unwrap_err();
        let said = panic.downcast_ref::<&str>().unwrap();
        assert_eq!(
            *said,
            ["the store's own", "the store's own", "the primary's own"][way]
        );
        shop.primary.store(2, SeqCst);
        shop.nothing_is_stale(&ids, 3);
    }
}

#[test]
fn of_a_batch_that_panics_every_record_is_remembered_and_replayed() {
    let shop = Shop::new(false);
    let ids = ["x", "y", "z"];
    for id in ids {
        shop.read_id(id);
    }
    shop.store.batch.store(1, SeqCst);
    shop.panics(|cache| cache.invalidate_many(ids));
    shop.nothing_is_stale(&ids, 3);
}

#[test]
fn of_many_expires_that_panic_every_record_is_remembered_and_replayed() {
    let shop = Shop::new(false);
    let ids = ["x", "y", "z"];
    for id in ids {
        shop.read_id(id);
    }
    shop.panics(|cache| cache.expire_many(ids));
    shop.nothing_is_stale(&ids, 3);
}

/// More than one request: those that come after the one that panicked are never sent.
#[test]
fn of_a_batch_that_panics_also_what_was_not_sent_yet_is_remembered() {
    let shop = Shop::new(false);
    // Ten thousand are kept one by one; beyond that the whole prefix is bypassed.
    let ids: Vec<_> = (0..10_001).map(|id| id.to_string()).collect();
    let last = ids.last().unwrap();
    shop.read_id(last);
    shop.panics(|cache| cache.invalidate_many(&ids));
    let (version, source) = shop.read_id(last);
    assert_eq!((version.as_str(), source), ("2", Source::Degraded));
    shop.store.is_broken.store(false, SeqCst);
    until_recovered(&shop.cache);
    assert_eq!(shop.read_id(last).0, "2");
}

#[test]
fn after_a_clear_that_panics_nothing_old_is_read() {
    let shop = Shop::new(false);
    shop.panics(Cache::clear);
    assert_eq!(shop.read(), ("2".to_owned(), Source::Degraded));
    shop.store.is_broken.store(false, SeqCst);
    until_recovered(&shop.cache);
    shop.cache.clear().unwrap();
    assert_eq!(shop.read(), ("2".to_owned(), Source::Loaded));
    assert_eq!(shop.read(), ("2".to_owned(), Source::Hit));
}
