//! Writes under a guard: the effect of `write` on readers and other writers, and its failures.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    counted::counted,
    environment::Environment,
    held::version,
    support::{load_loaf, until},
};
use cache_aside::{Cache, Source, TtlRemaining, WriteError};

/// A primary with one record, and a cache.
struct Shop<'a> {
    cache: &'a Cache,
    version: AtomicU32,
}

impl Shop<'_> {
    fn new(cache: &Cache) -> Shop<'_> {
        Shop {
            cache,
            version: AtomicU32::new(1),
        }
    }

    fn read(&self) -> (u32, Source) {
        let load = |_: &str| Ok::<_, Infallible>(Some(version(self.version.load(SeqCst))));
        let found = self.cache.get("p-001", load).unwrap();
        let read = found.record().unwrap().get("version").unwrap();
        (read.parse().unwrap(), found.source())
    }
}

fn a_write_gives_back_what_its_closure_returned_and_ends_the_record(environment: &Environment) {
    let cache = environment.cache();
    let shop = Shop::new(&cache);
    assert_eq!(shop.read().0, 1);
    let written = cache.write("p-001", || {
        shop.version.store(2, SeqCst);
        Ok::<_, Infallible>("seven")
    });
    let written = written.unwrap();
    assert_eq!(*written.value(), "seven");
    assert!(written.invalidation_error().is_none() && written.guard_error().is_none());
    assert_eq!(shop.read(), (2, Source::Loaded));
    assert_eq!(shop.read(), (2, Source::Hit));
}

/// A call, and its name.
type Write<'a> = (&'a str, Box<dyn Fn() + 'a>);

#[derive(Debug, PartialEq)]
struct OutOfStock(u32);

fn an_error_of_the_closure_comes_back_as_it_is_and_the_record_is_ended(environment: &Environment) {
    let cache = environment.cache();
    let shop = Shop::new(&cache);
    shop.read();
    let failed = cache.write("p-001", || {
        // Committed, but the reply was lost.
        shop.version.store(2, SeqCst);
        Err::<(), _>(OutOfStock(3))
    });
    assert!(matches!(failed, Err(WriteError::Primary(OutOfStock(3)))));
    assert_eq!(shop.read(), (2, Source::Loaded));
    assert!(!environment.is_held("p-001"));
}

fn a_panic_of_the_closure_ends_the_record_and_the_guard(environment: &Environment) {
    let cache = environment.cache();
    let shop = Shop::new(&cache);
    shop.read();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.write("p-001", || -> Result<(), Infallible> {
            shop.version.store(2, SeqCst);
            panic!("the closure's own")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(shop.read(), (2, Source::Loaded));
    assert_eq!(shop.read(), (2, Source::Hit));
}

fn while_a_write_runs_readers_read_the_primary_and_nothing_is_cached(environment: &Environment) {
    let cache = environment.cache();
    let shop = Shop::new(&cache);
    shop.read();
    let _ = cache
        .write("p-001", || {
            assert_eq!(shop.read(), (1, Source::Loaded));
            shop.version.store(2, SeqCst);
            // Right after the commit, although nothing has been invalidated yet.
            assert_eq!(shop.read(), (2, Source::Loaded));
            assert_eq!(
                cache.ttl_remaining("p-001").unwrap(),
                TtlRemaining::NoSuchKey
            );
            Ok::<_, Infallible>(())
        })
        .unwrap();
    assert_eq!(shop.read(), (2, Source::Loaded));
}

fn readers_of_one_write_share_a_load(environment: &Environment) {
    let (cache, questions) = counted(environment);
    let write = cache.write("p-001", || {
        thread::scope(|scope| {
            cache.get("p-001", |id| {
                let before = questions.asked();
                for _ in 0..8 {
                    scope.spawn(|| cache.get("p-001", load_loaf).unwrap());
                }
                // Each has asked for the lease, and got the nonce.
                until(|| questions.asked() == before + 8);
                thread::sleep(Duration::from_millis(50));
                load_loaf(id)
            })
        })
    });
    assert!(write.is_ok());
    // A reader that got the nonce but no time to look for the call would load once more.
    assert!(cache.stats().loads <= 2, "{:?}", cache.stats());
}

/// A load that began during a write, before its commit, is not shared with a lookup that starts
/// after the write's end, although another writer's guard still exists.
fn a_load_from_before_the_end_of_one_write_is_not_shared_after_it_under_the_guard_of_another(
    environment: &Environment,
) {
    let cache = environment.cache();
    let shop = Shop::new(&cache);
    let (read, go_on) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let _ = cache
            .write("p-001", || {
                // Another writer of the same record begins later and ends earlier.
                let slow = cache.write("p-001", || {
                    let slow = scope.spawn(|| {
                        cache.get("p-001", |_| {
                            let old = shop.version.load(SeqCst);
                            read.wait();
                            go_on.wait();
                            Ok::<_, Infallible>(Some(version(old)))
                        })
                    });
                    read.wait();
                    shop.version.store(2, SeqCst);
                    Ok::<_, Infallible>(slow)
                });
                let slow = slow.unwrap().into_value();
                assert!(environment.nonce("p-001").is_some());
                assert_eq!(shop.read(), (2, Source::Loaded));
                go_on.wait();
                slow.join().unwrap().unwrap();
                Ok::<_, Infallible>(())
            })
            .unwrap();
    });
    assert!(!environment.is_held("p-001"));
}

fn an_invalidation_during_a_write_leaves_the_guard_and_ends_the_loads_under_it(
    environment: &Environment,
) {
    let (cache, other) = (environment.cache(), environment.cache());
    let shop = Shop::new(&cache);
    let nonce = || environment.nonce("p-001").expect("a write is under way");
    let writes: [Write; 3] = [
        ("invalidate", Box::new(|| drop(other.invalidate("p-001")))),
        (
            "update_field",
            Box::new(|| drop(other.update_field("p-001", "version", "2"))),
        ),
        (
            "update",
            Box::new(|| drop(other.update("p-001", |record| Some(record.clone())))),
        ),
    ];
    let _ = cache
        .write("p-001", || {
            for (name, write) in &writes {
                let before = nonce();
                write();
                assert_ne!(before, nonce(), "{name}");
                assert_eq!(shop.read().1, Source::Loaded, "{name}");
                assert!(cache.ttl_remaining("p-001").unwrap().left().is_none());
            }
            Ok::<_, Infallible>(())
        })
        .unwrap();
    assert_eq!(other.stats().store_errors + cache.stats().store_errors, 0);
}

fn a_load_that_a_write_overtakes_is_not_cached(environment: &Environment) {
    let (cache, other) = (environment.cache(), environment.cache());
    let shop = Shop::new(&cache);
    let found = cache.get("p-001", |id| {
        let old = shop.version.load(SeqCst);
        let write = other.write(id, || {
            shop.version.store(2, SeqCst);
            Ok::<_, Infallible>(())
        });
        let _ = write.unwrap();
        Ok::<_, Infallible>(Some(version(old)))
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(shop.read(), (2, Source::Loaded));
}

fn a_guard_is_kept_while_its_write_takes_long(environment: &Environment) {
    // A busy machine must renew within two thirds of it.
    let lease = Duration::from_millis(1_200);
    let cache: Cache = environment.builder().lease_ttl(lease).build().unwrap();
    let shop = Shop::new(&cache);
    let _ = cache
        .write("p-001", || {
            thread::sleep(2 * lease);
            assert!(environment.nonce("p-001").is_some());
            assert_eq!(shop.read(), (1, Source::Loaded));
            assert_eq!(shop.read(), (1, Source::Loaded));
            Ok::<_, Infallible>(())
        })
        .unwrap();
    assert_eq!(cache.stats().store_errors, 0);
}

fn an_id_that_names_no_record_is_refused_before_the_closure_runs(environment: &Environment) {
    let refused = environment
        .cache()
        .write("", || -> Result<(), Infallible> { unreachable!() });
    let error = refused.unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing was written: the id is invalid: it is empty"
    );
}

/// As most programs propagate errors.
fn an_error_of_any_kind_can_be_handed_on(environment: &Environment) {
    let cache = environment.cache();
    let write = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _ = cache.write("p-001", || {
            Err::<(), Box<dyn std::error::Error + Send + Sync>>("full".into())
        })?;
        Ok(())
    };
    assert_eq!(
        write().unwrap_err().to_string(),
        "the change of the primary failed: full"
    );
}

on_both_stores! {
    a_write_gives_back_what_its_closure_returned_and_ends_the_record,
    an_error_of_the_closure_comes_back_as_it_is_and_the_record_is_ended,
    a_panic_of_the_closure_ends_the_record_and_the_guard,
    while_a_write_runs_readers_read_the_primary_and_nothing_is_cached,
    readers_of_one_write_share_a_load,
    a_load_from_before_the_end_of_one_write_is_not_shared_after_it_under_the_guard_of_another,
    an_invalidation_during_a_write_leaves_the_guard_and_ends_the_loads_under_it,
    a_load_that_a_write_overtakes_is_not_cached,
    a_guard_is_kept_while_its_write_takes_long,
    an_id_that_names_no_record_is_refused_before_the_closure_runs,
    an_error_of_any_kind_can_be_handed_on,
}
