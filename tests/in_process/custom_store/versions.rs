//! Versions on a store that keeps no floors, and writes on one that refuses a request for a while.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Error, Loaded, Lookup, Memory, Record, Source,
    store::{
        Acquire, Failure, FailureKind, Fields, Keys, Recheck, Store, Token, VersionedStore,
        WriteThrough,
    },
};

use super::bypass::version;
use crate::{
    delegate::delegate,
    support::{chain, loaf},
};

/// A store that knows nothing of floors.
struct Plain {
    within: Arc<dyn Store>,
}

impl Store for Plain {
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.within.acquire(keys, token, lease_ttl, recheck)
    }

    delegate!(within: read refresh fill release back_off renew invalidate expire guard unguard update ttl ping);
}

fn plain() -> Backend {
    let within = Memory::new(100).store();
    Backend::new(Arc::new(Plain { within }))
}

#[test]
fn versions_are_refused_on_a_store_that_keeps_no_floors() {
    let builder = Cache::<Record>::builder(plain()).prefix("test:");
    let refused = builder.versions(Duration::from_secs(5)).build();
    assert_eq!(
        chain(&refused.unwrap_err()),
        "setting `versions`: this store keeps no floors"
    );
}

#[test]
fn on_such_a_store_a_write_through_is_a_write() {
    let cache: Cache = Cache::builder(plain()).prefix("test:").build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(loaf()));
    cache.get("p-001", load).unwrap();
    let written = cache.write_through("p-001", || Ok::<_, Infallible>((7, Some(loaf()))));
    let written = written.unwrap();
    assert!(!written.is_cached() && written.guard_error().is_none());
    assert!(written.invalidation_error().is_none());
    assert_eq!(*written.value(), 7);
    assert!(cache.peek("p-001").unwrap().is_none());
    assert!(!cache.invalidate_at("p-001", 7).unwrap());
}

/// A store with floors that refuses invalidations for a while.
struct Refusing {
    within: Arc<dyn Store>,
    refuses: AtomicBool,
}

impl Store for Refusing {
    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Rejected, "not now"));
        }
        self.within.invalidate(keys)
    }

    fn versioned(&self) -> Option<&dyn VersionedStore> {
        Some(self)
    }

    delegate!(within: read acquire refresh fill release back_off renew expire guard unguard update ttl ping);
}

impl Refusing {
    fn new() -> Arc<Refusing> {
        Arc::new(Refusing {
            within: Memory::new(100).store(),
            refuses: AtomicBool::new(false),
        })
    }

    fn floors(&self) -> &dyn VersionedStore {
        self.within.versioned().unwrap()
    }
}

impl VersionedStore for Refusing {
    fn fill_at(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
        version: u64,
    ) -> Result<bool, Failure> {
        self.floors().fill_at(keys, token, ttl, record, version)
    }

    fn invalidate_at(&self, keys: &Keys, version: u64) -> Result<bool, Failure> {
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Rejected, "not now"));
        }
        self.floors().invalidate_at(keys, version)
    }

    fn guard_with_nonce(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<Token, Failure> {
        self.floors().guard_with_nonce(keys, writer, guard_ttl)
    }

    fn write_through(
        &self,
        keys: &Keys,
        writer: Token,
        through: Option<WriteThrough<'_>>,
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        self.floors().write_through(keys, writer, through, version)
    }
}

/// A write of version 5 whose invalidation is pending, while one of version 4 succeeds. Whoever
/// loads then must not believe a replica at version 4.
#[test]
fn a_write_of_an_older_version_leaves_no_floor_below_that_of_a_pending_one() {
    type Write = fn(&Refusing, &Cache);
    const WRITES: [Write; 2] = [
        |store, cache| {
            store.refuses.store(true, SeqCst);
            cache.invalidate_at("k", 5).unwrap_err();
            store.refuses.store(false, SeqCst);
            cache.invalidate_at("k", 4).unwrap();
        },
        |store, cache| {
            let written = cache.write_through("k", || {
                store.refuses.store(true, SeqCst);
                cache.invalidate_at("k", 5).unwrap_err();
                store.refuses.store(false, SeqCst);
                let loaded = Loaded::new(version("4")).version(4);
                Ok::<_, Infallible>(((), loaded))
            });
            assert!(!written.unwrap().is_cached());
        },
    ];
    for write in WRITES {
        let store = Refusing::new();
        let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
        let builder = Cache::builder(backend).prefix("test:");
        let cache = builder.versions(Duration::from_secs(600)).build().unwrap();
        write(&store, &cache);
        assert_eq!(cache.stats().invalidations_pending, 0);
        let found = cache.options().get_with_context("k", |context| {
            let newest = if context.read_primary() { 5 } else { 4 };
            let loaded = Loaded::new(version(&newest.to_string()));
            Ok::<_, Infallible>(loaded.version(newest))
        });
        assert_eq!(**found.unwrap().record().unwrap(), version("5"));
    }
}

/// Otherwise the record that the pending invalidation should have removed would be served as stale.
#[test]
fn an_expire_that_completes_a_pending_invalidation_removes_the_record() {
    let store = Refusing::new();
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:");
    let cache = builder.grace(Duration::from_secs(600)).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(version("1")));
    cache.get("k", load).unwrap();
    store.refuses.store(true, SeqCst);
    cache.invalidate("k").unwrap_err();
    store.refuses.store(false, SeqCst);
    cache.expire("k").unwrap();
    assert_eq!(cache.stats().invalidations_pending, 0);
    let down = |_: &str| Err::<Option<Record>, _>("the primary is away");
    let error = cache.get("k", down).unwrap_err();
    assert!(matches!(error, Error::Loader(_)), "{error:#}");
}

#[test]
fn many_expires_that_complete_a_pending_invalidation_remove_that_record_only() {
    let store = Refusing::new();
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:");
    let cache: Cache = builder.grace(Duration::from_secs(600)).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(version("1")));
    let ids = ["j", "k", "l"];
    for id in ids {
        cache.get(id, load).unwrap();
    }
    store.refuses.store(true, SeqCst);
    cache.invalidate("k").unwrap_err();
    assert!(cache.peek_many(ids).is_err());
    assert!(cache.get_fields("k", &["version"]).is_err());
    assert!(cache.get_fields("j", &["version"]).unwrap().is_some());
    store.refuses.store(false, SeqCst);
    cache.expire_many(ids).unwrap();
    assert_eq!(cache.stats().invalidations_pending, 0);
    let cached = cache.peek_many(ids).unwrap();
    let stale: Vec<_> = cached
        .iter()
        .map(|it| it.as_ref().map(Lookup::is_stale))
        .collect();
    assert_eq!(stale, [Some(true), None, Some(true)]);
}

/// The store has not heard of the later write, so the nonce of the guard still stands. And the end
/// of the first write completes the pending invalidation.
#[test]
fn a_record_is_not_written_through_while_a_later_writes_invalidation_is_pending() {
    let store = Refusing::new();
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let cache = Cache::builder(backend).prefix("test:").build().unwrap();
    let written = cache.write_through("k", || {
        // Another thread changes the primary once more, from 2 to 3.
        store.refuses.store(true, SeqCst);
        cache.invalidate("k").unwrap_err();
        Ok::<_, Infallible>(((), Some(version("2"))))
    });
    assert!(!written.unwrap().is_cached());
    store.refuses.store(false, SeqCst);
    let load = |_: &str| Ok::<_, Infallible>(Some(version("3")));
    let found = cache.get("k", load).unwrap();
    assert_eq!(**found.record().unwrap(), version("3"));
    assert_ne!(found.source(), Source::Hit);
}
