//! At most so many loads at a time, and nobody who needs no load waits for one.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Error, Record, Source};

use crate::{
    environment::Environment,
    support::{load_loaf, loaf, until},
};

const LONG: Duration = Duration::from_secs(600);

/// A cache that loads one record at a time, and whose lookups wait this long for their turn.
fn one_at_a_time(environment: &Environment, wait: Duration) -> Cache {
    let builder = environment.patient_builder().max_loads(1);
    builder.load_queue_timeout(wait).build().unwrap()
}

fn never(_: &str) -> Result<Option<Record>, Infallible> {
    panic!("nobody was to load");
}

/// Calls `meanwhile` while this record is being loaded, under the only permit.
pub(crate) fn during_a_load(cache: &Cache, id: &str, meanwhile: impl FnOnce()) {
    let (is_loading, may_end) = (Barrier::new(2), mpsc::channel());
    thread::scope(|scope| {
        let (end, ended) = may_end;
        let is_loading = &is_loading;
        scope.spawn(move || {
            cache.get(id, |id| {
                is_loading.wait();
                ended.recv().unwrap();
                load_loaf(id)
            })
        });
        is_loading.wait();
        let result = catch_unwind(AssertUnwindSafe(meanwhile));
        end.send(()).unwrap();
        assert!(result.is_ok());
    });
}

fn of_200_threads_over_cold_keys_no_more_than_four_load_at_a_time(environment: &Environment) {
    let cache = environment.patient_builder().max_loads(4);
    let cache: Cache = cache.wait_timeout(LONG).build().unwrap();
    let (start, now, most) = (Barrier::new(200), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for number in 0..200 {
            let (cache, start, now, most) = (&cache, &start, &now, &most);
            scope.spawn(move || {
                start.wait();
                let found = cache.get(number / 2, |id| {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    thread::sleep(Duration::from_millis(2)); // the primary's latency
                    now.fetch_sub(1, SeqCst);
                    load_loaf(id)
                });
                assert_eq!(**found.unwrap().record().unwrap(), loaf());
            });
        }
    });
    assert_eq!(most.load(SeqCst), 4);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.overloads, stats.degraded), (100, 0, 0));
}

fn a_lookup_that_has_no_turn_in_time_is_overloaded_and_loads_nothing(environment: &Environment) {
    for wait in [Duration::ZERO, Duration::from_millis(30)] {
        let cache = one_at_a_time(environment, wait);
        during_a_load(&cache, "p-000", || {
            let error = cache.get("p-001", never).unwrap_err();
            let Error::Overloaded { waited, .. } = &error else {
                panic!("{error}");
            };
            assert!(*waited >= wait);
            assert!(error.to_string().contains("too many loads are running"));
            assert!(!environment.is_held("p-001"));
            assert!(
                cache
                    .options()
                    .skip_cache(true)
                    .get("p-001", never)
                    .is_err()
            );
            let many = cache.get_many(
                ["p-001"],
                |_| -> Result<Vec<(String, Record)>, Infallible> { panic!("nobody was to load") },
            );
            assert!(matches!(many, Err(Error::Overloaded { .. })));
        });
        assert_eq!(cache.stats().overloads, 3);
        assert_eq!(
            cache.get("p-001", load_loaf).unwrap().source(),
            Source::Loaded
        );
        cache.invalidate_many(["p-000", "p-001"]).unwrap();
    }
}

fn those_who_share_a_load_need_no_turn(environment: &Environment) {
    let cache = one_at_a_time(environment, Duration::ZERO);
    let (loading, followers) = (Barrier::new(2), 8);
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.get("p-001", |id| {
                loading.wait();
                until(|| cache.stats().misses == 1 + followers);
                thread::sleep(Duration::from_millis(30)); // until they have asked for the lease
                load_loaf(id)
            })
        });
        loading.wait();
        for _ in 0..followers {
            scope.spawn(|| {
                let found = cache.get("p-001", never).unwrap();
                assert_eq!(found.source(), Source::Waited);
            });
        }
    });
    assert_eq!((cache.stats().loads, cache.stats().overloads), (1, 0));
}

/// The load finds no record, so there is no entry that could answer the others.
fn those_who_wait_for_a_turn_for_one_record_share_one_load(environment: &Environment) {
    const READERS: u64 = 8;
    let cache = one_at_a_time(environment, LONG);
    let loads = AtomicU32::new(0);
    thread::scope(|scope| {
        during_a_load(&cache, "p-000", || {
            for _ in 0..READERS {
                scope.spawn(|| {
                    let found = cache.get("p-001", |_| {
                        loads.fetch_add(1, SeqCst);
                        thread::sleep(Duration::from_millis(200)); // until all have asked
                        Ok::<_, Infallible>(None)
                    });
                    assert!(found.unwrap().record().is_none());
                });
            }
            until(|| cache.stats().misses == 1 + READERS);
            thread::sleep(Duration::from_millis(50)); // until they wait for their turn
        });
    });
    assert_eq!(loads.load(SeqCst), 1);
}

fn no_lease_waits_for_a_turn_and_a_record_that_another_process_loads_answers(
    environment: &Environment,
) {
    let (cache, other) = (one_at_a_time(environment, LONG), environment.cache());
    during_a_load(&cache, "p-000", || {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| cache.get("p-001", never).unwrap().source());
            until(|| cache.stats().misses == 2);
            thread::sleep(Duration::from_millis(30)); // until it waits
            let loaded = other.get("p-001", load_loaf).unwrap();
            assert_eq!(loaded.source(), Source::Loaded);
            assert_eq!(waiting.join().unwrap(), Source::Waited);
        });
    });
}

fn beyond_the_limit_a_stale_record_is_served(environment: &Environment) {
    let builder = environment.patient_builder().grace(LONG).max_loads(1);
    let cache: Cache = builder.build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    cache.expire("p-001").unwrap();
    during_a_load(&cache, "p-000", || {
        assert!(cache.get("p-001", never).unwrap().is_stale());
        let many = cache.get_many(
            ["p-001"],
            |_| -> Result<Vec<(String, Record)>, Infallible> { panic!("nobody was to load") },
        );
        assert!(many.unwrap()[0].is_stale());
    });
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Refreshed);
}

fn a_load_inside_another_load_waits_for_no_turn(environment: &Environment) {
    let one = one_at_a_time(environment, LONG);
    let builder = environment.patient_builder().prefix("test:other:");
    let other: Cache = builder.max_loads(1).wait_timeout(LONG).build().unwrap();
    let (both, load) = (Barrier::new(2), |id: &str| load_loaf(id));
    thread::scope(|scope| {
        // Each loads a record of the other's cache while both permits are taken.
        for (outer, inner) in [(&one, &other), (&other, &one)] {
            let both = &both;
            scope.spawn(move || {
                let found = outer.get("p-001", |id| {
                    both.wait();
                    inner.get("p-002", load)?;
                    outer.get("p-003", load)?;
                    both.wait();
                    load_loaf(id).map_err(|error| Error::Loader(std::sync::Arc::new(error)))
                });
                assert_eq!(found.unwrap().source(), Source::Loaded);
            });
        }
    });
    for cache in [&one, &other] {
        assert_eq!(cache.get("p-004", load).unwrap().source(), Source::Loaded);
    }
}

fn a_loader_that_fails_or_panics_gives_its_turn_back(environment: &Environment) {
    let cache = one_at_a_time(environment, Duration::ZERO);
    assert!(cache.get("p-001", |_| Err("no connection")).is_err());
    let panics = || {
        cache.get("p-001", |_| -> Result<_, Infallible> {
            panic!("the loader's own")
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    until(|| !environment.is_held("p-001"));
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

fn a_lookup_waits_for_its_turn_no_longer_than_for_anything_else(environment: &Environment) {
    let builder = environment.patient_builder().max_loads(1);
    let cache: Cache = builder.wait_timeout(LONG).build().unwrap();
    during_a_load(&cache, "p-000", || {
        let options = || cache.options().wait_timeout(Duration::from_millis(50));
        let found = options().get("p-001", never);
        assert!(matches!(found, Err(Error::Overloaded { .. })));
        let many = options().get_many(
            ["p-001"],
            |_| -> Result<Vec<(String, Record)>, Infallible> { panic!("nobody was to load") },
        );
        assert!(matches!(many, Err(Error::Overloaded { .. })));
    });
}

on_both_stores! {
    of_200_threads_over_cold_keys_no_more_than_four_load_at_a_time,
    a_lookup_that_has_no_turn_in_time_is_overloaded_and_loads_nothing,
    those_who_share_a_load_need_no_turn,
    those_who_wait_for_a_turn_for_one_record_share_one_load,
    no_lease_waits_for_a_turn_and_a_record_that_another_process_loads_answers,
    beyond_the_limit_a_stale_record_is_served,
    a_load_inside_another_load_waits_for_no_turn,
    a_loader_that_fails_or_panics_gives_its_turn_back,
    a_lookup_waits_for_its_turn_no_longer_than_for_anything_else,
}
