//! Units of work and `write_many`: the effect on the records of several caches, and their failures.

use std::{
    cell::Cell,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::{environment::Environment, held::version};
use cache_aside::{Cache, Source, TtlRemaining, UnitOfWork, WriteError};

/// A primary whose records all have one version, and two caches on it.
struct Shop {
    products: Cache,
    orders: Cache,
    version: AtomicU32,
}

impl Shop {
    fn new(environment: &Environment) -> Shop {
        let shop = Shop {
            products: environment.cache(),
            orders: environment.builder().prefix("test:order:").build().unwrap(),
            version: AtomicU32::new(1),
        };
        for answer in shop.read_all() {
            assert_eq!(answer, (1, Source::Loaded));
        }
        shop
    }

    fn read(&self, cache: &Cache, id: &str) -> (u32, Source) {
        let load = |_: &str| Ok::<_, Infallible>(Some(version(self.version.load(SeqCst))));
        let found = cache.get(id, load).unwrap();
        let read = found.record().unwrap().get("version").unwrap();
        (read.parse().unwrap(), found.source())
    }

    fn read_all(&self) -> [(u32, Source); 3] {
        [
            self.read(&self.products, "p-001"),
            self.read(&self.products, "p-002"),
            self.read(&self.orders, "17"),
        ]
    }

    fn unit(&self) -> UnitOfWork<'_> {
        let mut unit = UnitOfWork::new();
        unit.add(&self.products, "p-001").unwrap();
        unit.add(&self.products, "p-002").unwrap();
        unit.add(&self.orders, 17).unwrap();
        unit
    }

    fn commit(&self) {
        self.version.store(2, SeqCst);
    }
}

fn a_unit_ends_its_records_of_all_caches(environment: &Environment) {
    let shop = Shop::new(environment);
    let mut unit = shop.unit();
    unit.guard();
    shop.commit();
    let written = unit.commit();
    assert!(written.guard_error().is_none() && written.deferred().is_empty());
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
    assert_eq!(shop.read_all(), [(2, Source::Hit); 3]);
}

fn while_a_unit_is_guarded_readers_read_the_primary_and_nothing_is_cached(
    environment: &Environment,
) {
    let shop = Shop::new(environment);
    let mut unit = shop.unit();
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
    unit.guard();
    assert_eq!(shop.read_all(), [(1, Source::Loaded); 3]);
    shop.commit();
    // Nothing has been invalidated since the commit.
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
    for (cache, id) in [(&shop.products, "p-001"), (&shop.orders, "17")] {
        assert_eq!(cache.ttl_remaining(id).unwrap(), TtlRemaining::NoSuchKey);
    }
    let _ = unit.commit();
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
    assert_eq!(shop.read_all(), [(2, Source::Hit); 3]);
}

fn a_unit_that_is_dropped_before_its_guard_sends_nothing(environment: &Environment) {
    let shop = Shop::new(environment);
    drop(shop.unit());
    shop.unit().rollback();
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
}

/// Nobody knows whether the primary committed.
fn a_unit_that_is_dropped_after_its_guard_ends_its_records(environment: &Environment) {
    let ends: [fn(&Shop); 3] = [
        |shop| {
            let mut unit = shop.unit();
            unit.guard();
            shop.commit();
            drop(unit);
        },
        |shop| {
            let mut unit = shop.unit();
            unit.guard();
            shop.commit();
            unit.rollback();
        },
        |shop| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let mut unit = shop.unit();
                unit.guard();
                shop.commit();
                panic!("the primary's own")
            }));
            assert!(panicked.is_err());
        },
    ];
    for end in ends {
        let shop = Shop::new(environment);
        end(&shop);
        assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
        assert_eq!(shop.read_all(), [(2, Source::Hit); 3]);
        let _ = shop.unit().commit();
    }
}

fn a_unit_without_a_guard_invalidates(environment: &Environment) {
    let shop = Shop::new(environment);
    let unit = shop.unit();
    shop.commit();
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
    assert!(unit.commit().deferred().is_empty());
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
}

/// A load that read the primary before the commit holds no lease after the unit.
fn a_load_that_a_unit_overtakes_is_not_cached(environment: &Environment) {
    let shop = Shop::new(environment);
    shop.products.invalidate("p-001").unwrap();
    let found = shop.products.get("p-001", |_| {
        let old = shop.version.load(SeqCst);
        let unit = shop.unit();
        shop.commit();
        let _ = unit.commit();
        Ok::<_, Infallible>(Some(version(old)))
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert_eq!(shop.products.stats().refused_fills, 1);
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
}

fn records_that_are_added_after_the_guard_are_guarded_by_the_next_one(environment: &Environment) {
    let shop = Shop::new(environment);
    let mut unit = UnitOfWork::new();
    unit.add(&shop.products, "p-001").unwrap();
    unit.guard();
    unit.add(&shop.orders, 17).unwrap();
    // Twice is harmless.
    unit.add(&shop.products, "p-001").unwrap();
    let [first, other, order] = shop.read_all();
    assert_eq!(
        [first, other, order].map(|it| it.1),
        [Source::Loaded, Source::Hit, Source::Hit]
    );
    unit.guard();
    let [first, other, order] = shop.read_all();
    assert_eq!(
        [first, other, order].map(|it| it.1),
        [Source::Loaded, Source::Hit, Source::Loaded]
    );
    let _ = unit.commit();
    assert!(!environment.is_held("p-001"));
    shop.read_all();
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
}

fn guards_are_kept_while_a_unit_takes_long(environment: &Environment) {
    // A busy machine must renew within two thirds of it.
    let lease = Duration::from_millis(1_200);
    let cache: Cache = environment.builder().lease_ttl(lease).build().unwrap();
    let mut unit = UnitOfWork::new();
    for id in 0..20 {
        unit.add(&cache, id).unwrap();
    }
    unit.guard();
    thread::sleep(2 * lease);
    for id in 0..20 {
        assert!(environment.nonce(&id.to_string()).is_some(), "{id}");
    }
    let _ = unit.commit();
    assert_eq!(cache.stats().store_errors, 0);
    for id in 0..20 {
        assert!(!environment.is_held(&id.to_string()), "{id}");
    }
}

fn an_id_that_names_no_record_leaves_the_unit_as_it_was(environment: &Environment) {
    let shop = Shop::new(environment);
    let mut unit = shop.unit();
    let refused = unit.add(&shop.products, "").unwrap_err();
    assert_eq!(refused.to_string(), "the id is invalid: it is empty");
    unit.guard();
    shop.commit();
    assert!(unit.commit().deferred().is_empty());
    assert_eq!(shop.read_all(), [(2, Source::Loaded); 3]);
}

fn an_empty_unit_does_nothing(environment: &Environment) {
    let shop = Shop::new(environment);
    let mut unit = UnitOfWork::new();
    unit.guard();
    assert!(unit.commit().guard_error().is_none());
    let none: [&str; 0] = [];
    let written = shop.products.write_many(none, || Ok::<_, Infallible>(7));
    assert_eq!(written.unwrap().into_value(), 7);
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
}

fn write_many_ends_every_record_whatever_its_closure_returns(environment: &Environment) {
    let shop = Shop::new(environment);
    let ids = ["p-001", "p-002"];
    let written = shop.products.write_many(ids, || {
        for id in ids {
            assert_eq!(shop.read(&shop.products, id), (1, Source::Loaded));
        }
        shop.commit();
        Ok::<_, Infallible>("done")
    });
    assert_eq!(*written.unwrap().value(), "done");
    for id in ids {
        assert_eq!(shop.read(&shop.products, id), (2, Source::Loaded));
        assert_eq!(shop.read(&shop.products, id), (2, Source::Hit));
    }

    let failed = shop.products.write_many(ids, || {
        // Committed, but the reply was lost.
        shop.version.store(3, SeqCst);
        Err::<(), _>("no reply")
    });
    assert!(matches!(failed, Err(WriteError::Primary("no reply"))));
    for id in ids {
        assert_eq!(shop.read(&shop.products, id), (3, Source::Loaded));
    }

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        shop.products.write_many(ids, || -> Result<(), Infallible> {
            shop.version.store(4, SeqCst);
            panic!("the closure's own")
        })
    }));
    assert!(panicked.is_err());
    for id in ids {
        assert_eq!(shop.read(&shop.products, id), (4, Source::Loaded));
        assert_eq!(shop.read(&shop.products, id), (4, Source::Hit));
    }
}

fn write_many_refuses_an_id_before_its_closure_runs(environment: &Environment) {
    let shop = Shop::new(environment);
    let ran = Cell::new(false);
    let refused = shop.products.write_many(["p-001", ""], || {
        ran.set(true);
        Ok::<_, Infallible>(())
    });
    let why = "nothing was written: the id is invalid: it is empty";
    assert_eq!(refused.unwrap_err().to_string(), why);
    assert!(!ran.get());
    assert_eq!(shop.read_all(), [(1, Source::Hit); 3]);
}

/// More records than one request guards.
fn a_unit_of_thousands_of_records_ends_them_all(environment: &Environment) {
    let cache = environment.cache();
    let ids: Vec<u32> = (0..2_500).collect();
    let load = |number: u32| {
        move |ids: &[&str]| {
            let records = ids.iter().map(|id| ((*id).to_owned(), version(number)));
            Ok::<_, Infallible>(records.collect::<Vec<_>>())
        }
    };
    let sources = |number| {
        let found = cache.get_many(&ids, load(number)).unwrap();
        let read = found.iter().map(|it| (it.record().cloned(), it.source()));
        read.collect::<Vec<_>>()
    };
    sources(1);
    let written = cache.write_many(&ids, || {
        assert!(sources(1).iter().all(|it| it.1 == Source::Loaded));
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().deferred().is_empty());
    assert!(sources(2).iter().all(|it| it.1 == Source::Loaded));
    assert!(sources(3).iter().all(|(record, source)| {
        **record.as_ref().unwrap() == version(2) && *source == Source::Hit
    }));
}

on_both_stores! {
    a_unit_ends_its_records_of_all_caches,
    while_a_unit_is_guarded_readers_read_the_primary_and_nothing_is_cached,
    a_unit_that_is_dropped_before_its_guard_sends_nothing,
    a_unit_that_is_dropped_after_its_guard_ends_its_records,
    a_unit_without_a_guard_invalidates,
    a_load_that_a_unit_overtakes_is_not_cached,
    records_that_are_added_after_the_guard_are_guarded_by_the_next_one,
    guards_are_kept_while_a_unit_takes_long,
    an_id_that_names_no_record_leaves_the_unit_as_it_was,
    an_empty_unit_does_nothing,
    write_many_ends_every_record_whatever_its_closure_returns,
    write_many_refuses_an_id_before_its_closure_runs,
    a_unit_of_thousands_of_records_ends_them_all,
}
