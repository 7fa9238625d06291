//! Invalidations that the store rejects, too many to keep one by one: they bypass a whole prefix,
//! and this tests for how long.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    error::Error as _,
    sync::{atomic::Ordering::SeqCst, mpsc},
    thread,
};

use cache_aside::{Backend, Cache, Error, Loaded, Record, Source};

use super::{
    MS,
    faulty::{Faulty, backend},
};

/// A cache whose entries expire soon.
pub(crate) fn brief(backend: &Backend) -> Cache {
    let builder = Cache::builder(backend).prefix("test:").ttl(MS(50));
    let builder = builder.lease_ttl(MS(50)).max_load_time(MS(200));
    builder.build().unwrap()
}

/// More than can be pending one by one.
pub(crate) fn overflow(cache: &Cache) {
    for id in 0..10_000 {
        assert!(cache.invalidate(format!("other {id}")).is_err());
    }
}

pub(crate) fn version(number: &str) -> Record {
    Record::from([("version", number)])
}

pub(crate) fn read(cache: &Cache) -> (Record, Source) {
    let load = |_: &str| Ok::<_, Infallible>(Some(version("new")));
    let found = cache.get("x", load).unwrap();
    let record = Record::clone(found.record().unwrap());
    (record, found.source())
}

/// Another cache on this store wrote the entry, not the one that could not invalidate it.
#[test]
fn a_bypass_outlasts_the_entries_of_every_cache_with_the_prefix() {
    let store = Faulty::new();
    let backend = backend(&store);
    let (cache, patient) = (brief(&backend), Cache::builder(&backend).prefix("test:"));
    let patient: Cache = patient.ttl(MS(20_000)).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(version("old")));
    patient.get("x", load).unwrap();
    store.refuses.store(true, SeqCst);
    overflow(&cache);
    assert!(cache.invalidate("x").is_err());
    // Longer than the entries of this cache could stay.
    thread::sleep(MS(500));
    assert_eq!(read(&patient), (version("new"), Source::Degraded));
    assert_eq!(read(&cache), (version("new"), Source::Degraded));
}

/// The loader's result chooses its TTL only when the bypass has begun.
#[test]
fn a_bypass_outlasts_an_entry_whose_load_was_under_way() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    store.refuses.store(true, SeqCst);
    overflow(&cache);
    let (has_read, was_read) = mpsc::channel();
    let (let_go, was_let_go) = mpsc::channel();
    thread::scope(|scope| {
        let cache = &cache;
        let slow = scope.spawn(move || {
            cache.options().get("x", |_| {
                has_read.send(()).unwrap();
                was_let_go.recv_timeout(MS(20_000)).unwrap();
                Ok::<_, Infallible>(Loaded::new(version("old")).ttl(MS(20_000)))
            })
        });
        was_read.recv().unwrap();
        assert!(cache.invalidate("x").is_err());
        let_go.send(()).unwrap();
        slow.join().unwrap().unwrap();
    });
    thread::sleep(MS(500));
    assert_eq!(read(&cache), (version("new"), Source::Degraded));
}

/// An entry that this process has never filled itself.
#[test]
fn a_bypass_outlasts_the_grace_of_what_another_process_wrote() {
    let store = Faulty::new();
    let gracious = || -> Cache {
        let builder = Cache::builder(backend(&store)).prefix("test:").ttl(MS(50));
        let builder = builder.lease_ttl(MS(50)).max_load_time(MS(200));
        builder.grace(MS(20_000)).build().unwrap()
    };
    let (here, elsewhere) = (gracious(), gracious());
    let load = |_: &str| Ok::<_, Infallible>(Some(version("old")));
    elsewhere.get("x", load).unwrap();
    store.refuses.store(true, SeqCst);
    overflow(&here);
    assert!(here.invalidate("x").is_err());
    thread::sleep(MS(500));
    assert_eq!(read(&here), (version("new"), Source::Degraded));
}

/// Nobody invalidated the record that is asked for.
#[test]
fn a_record_under_a_bypassed_prefix_is_said_to_be_bypassed_for_the_prefix() {
    let store = Faulty::new();
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.build().unwrap();
    store.refuses.store(true, SeqCst);
    let causes = |id: &str| {
        let found = cache.get(id, |_| Ok::<_, Infallible>(Some(version("new"))));
        let found = found.unwrap();
        let cause = |error: &Error| error.source().unwrap().to_string();
        let all = [
            cause(found.degraded_cause().unwrap()),
            cause(&cache.peek(id).unwrap_err()),
            cause(&cache.ttl_remaining(id).unwrap_err()),
        ];
        BTreeSet::from(all)
    };
    assert!(cache.invalidate("x").is_err());
    let own = "not sent, because an earlier invalidation of this record is pending";
    assert_eq!(causes("x"), [own.to_owned()].into());
    overflow(&cache);
    let many = "not sent, because too many invalidations are pending, so no record with the prefix is read from Redis";
    assert_eq!(causes("y"), [many.to_owned()].into());
    assert_eq!(causes("x"), [own.to_owned()].into());
}

/// Entries may be left that should be gone.
#[test]
fn a_record_is_said_to_be_bypassed_after_a_clear_that_did_not_finish() {
    // This store cannot scan, so the clear is not finished later either.
    let builder = Cache::builder(backend(&Faulty::new())).prefix("test:");
    let cache: Cache = builder.build().unwrap();
    assert!(cache.clear().is_err());
    assert_eq!(
        cache.peek("x").unwrap_err().source().unwrap().to_string(),
        "not sent, because a `clear` did not finish, so no record with the prefix is read from Redis"
    );
}
