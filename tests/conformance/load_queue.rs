//! Lookups that wait for their turn to load: together, within their bounds, and in nobody's way.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Backend, Cache, CacheBuilder, Error, LoadingCache, Record, Source,
    store::{Acquire, Entry, Failure, FailureKind, Floor, Keys, Recheck, Store, Token},
};

use crate::{
    delegate::delegate,
    environment::{Environment, keys},
    max_loads::during_a_load,
    support::{load_loaf, loaf, until},
};

const LONG: Duration = Duration::from_secs(600);
/// No lookup of these tests waits this long, unless it waits for nothing.
const SOON: Duration = Duration::from_secs(20);
const A_MOMENT: Duration = Duration::from_millis(50);

fn one_at_a_time(environment: &Environment) -> CacheBuilder<Record> {
    environment.patient_builder().max_loads(1)
}

fn never(_: &str) -> Result<Option<Record>, Infallible> {
    panic!("nobody was to load");
}

/// A store whose requests of lookups fail while it is away, and which counts the reads.
struct Away {
    store: Arc<dyn Store>,
    refuses: AtomicBool,
    reads: AtomicU32,
}

impl Away {
    fn of(environment: &Environment) -> Arc<Away> {
        Arc::new(Away {
            store: Arc::clone(environment.store()),
            refuses: AtomicBool::new(false),
            reads: AtomicU32::new(0),
        })
    }

    fn builder(self: &Arc<Away>) -> CacheBuilder<Record> {
        let store: Arc<dyn Store> = Arc::clone(self) as _;
        Cache::builder(Backend::new(store)).prefix("test:")
    }

    fn check(&self) -> Result<(), Failure> {
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Partial, "away"));
        }
        Ok(())
    }
}

impl Store for Away {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.reads.fetch_add(1, SeqCst);
        self.check()?;
        self.store.read(data)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.check()?;
        self.store.acquire(keys, token, lease_ttl, recheck)
    }

    delegate! { store: read_with_ttl refresh fill keep release back_off renew invalidate expire guard unguard update ttl ping }
}

/// Each of them reads the record at once, and not one after the other.
fn all_who_wait_for_a_turn_have_the_record_soon_after_another_process_filled_it(
    environment: &Environment,
) {
    const READERS: u64 = 300;
    let cache: Cache = one_at_a_time(environment)
        .wait_timeout(LONG)
        .build()
        .unwrap();
    let other = environment.cache();
    during_a_load(&cache, "slow", || {
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    assert_eq!(cache.get("p-001", never).unwrap().source(), Source::Waited);
                });
            }
            until(|| cache.stats().misses == 1 + READERS);
            thread::sleep(A_MOMENT); // until they wait for their turn
            other.get("p-001", load_loaf).unwrap();
            let filled = Instant::now();
            until(|| cache.stats().stampedes_suppressed == READERS);
            // One after the other, each a poll after the one before, they would take 6 s.
            assert!(filled.elapsed() < Duration::from_secs(3));
        });
    });
}

/// The loads that hold the only turn take longer than the lookups may wait for a load.
fn those_who_wait_for_a_turn_share_one_load_however_long_they_wait(environment: &Environment) {
    const READERS: u64 = 6;
    for fails in [false, true] {
        let builder = one_at_a_time(environment).wait_timeout(Duration::from_millis(300));
        let builder = builder.fail_on_wait_timeout(fails).load_queue_timeout(LONG);
        let cache: Cache = builder.build().unwrap();
        let loads = AtomicU32::new(0);
        thread::scope(|scope| {
            during_a_load(&cache, "slow", || {
                for _ in 0..READERS {
                    scope.spawn(|| {
                        let found = cache.get("p-001", |id| {
                            loads.fetch_add(1, SeqCst);
                            load_loaf(id)
                        });
                        assert_eq!(**found.unwrap().record().unwrap(), loaf());
                    });
                }
                until(|| cache.stats().misses == 1 + READERS);
                thread::sleep(Duration::from_millis(400)); // longer than the wait timeout
            });
        });
        assert_eq!((loads.load(SeqCst), cache.stats().degraded), (1, 0));
        cache.invalidate_many(["slow", "p-001"]).unwrap();
    }
}

/// The load finds no record and ends at once. Those who waited share it all the same: it began
/// after each of their lookups.
fn a_load_that_leaves_nothing_in_the_store_answers_all_who_waited_for_its_turn(
    environment: &Environment,
) {
    const READERS: u64 = 30;
    let cache: Cache = one_at_a_time(environment)
        .wait_timeout(LONG)
        .build()
        .unwrap();
    let loads = AtomicU32::new(0);
    thread::scope(|scope| {
        during_a_load(&cache, "slow", || {
            for _ in 0..READERS {
                scope.spawn(|| {
                    let found = cache.get("p-001", |_| {
                        loads.fetch_add(1, SeqCst);
                        Ok::<_, Infallible>(None)
                    });
                    assert!(found.unwrap().record().is_none());
                });
            }
            until(|| cache.stats().misses == 1 + READERS);
            thread::sleep(Duration::from_millis(200)); // until they wait for their turn
        });
    });
    assert_eq!(loads.load(SeqCst), 1);
}

/// A lookup that begins after an invalidation shares no load that waited for its turn before.
fn a_lookup_after_an_invalidation_shares_no_load_from_before_it(environment: &Environment) {
    let cache: Cache = one_at_a_time(environment)
        .wait_timeout(LONG)
        .build()
        .unwrap();
    let (version, begun) = (AtomicU32::new(1), Barrier::new(2));
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    thread::scope(|scope| {
        during_a_load(&cache, "slow", || {
            for _ in 0..2 {
                scope.spawn(|| {
                    cache.get("p-001", |_| {
                        let read = version.load(SeqCst).to_string();
                        begun.wait();
                        ended.lock().unwrap().recv().unwrap();
                        Ok::<_, Infallible>(Some(Record::from([("version", read)])))
                    })
                });
            }
            until(|| cache.stats().misses == 3);
            thread::sleep(A_MOMENT); // until they wait for their turn
        });
        begun.wait();
        version.store(2, SeqCst);
        cache.invalidate("p-001").unwrap();
        let late = scope.spawn(|| {
            let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("version", "2")])));
            cache.get("p-001", load).unwrap()
        });
        until(|| cache.stats().misses == 4);
        thread::sleep(A_MOMENT); // until it waits
        end.send(()).unwrap();
        let late = late.join().unwrap();
        assert_eq!(late.record().unwrap().get("version"), Some("2"));
    });
}

/// While it waited for the other process, it waited for no turn.
fn a_wait_for_another_process_is_no_wait_for_a_turn(environment: &Environment) {
    let builder = one_at_a_time(environment).wait_timeout(LONG);
    let builder = builder.load_queue_timeout(Duration::from_secs(2));
    let cache: Cache = builder.build().unwrap();
    let (store, keys, token) = (environment.store(), keys("p-001"), Token::random());
    let acquired = store.acquire(&keys, token, LONG, Recheck::Never).unwrap();
    assert_eq!(acquired, Acquire::Acquired(Floor::None));
    thread::scope(|scope| {
        let mut waiting = None;
        during_a_load(&cache, "slow", || {
            waiting = Some(scope.spawn(|| cache.get("p-001", load_loaf)));
            until(|| cache.stats().misses == 2);
            thread::sleep(A_MOMENT); // until it waits for its turn
        });
        thread::sleep(Duration::from_secs(3)); // longer than it may wait for its turn
        cache.invalidate("slow").unwrap();
        during_a_load(&cache, "slow", || {
            assert!(store.release(&keys, token).unwrap());
            thread::sleep(Duration::from_millis(300)); // until it waits for its turn again
        });
        let found = waiting.unwrap().join().unwrap();
        assert_eq!(found.unwrap().source(), Source::Loaded);
    });
}

/// The other load has the turn, and its loader needs the record of the lookup that waits.
fn without_redis_no_load_waits_for_a_lookup_that_waits_for_its_turn(environment: &Environment) {
    let away = Away::of(environment);
    away.refuses.store(true, SeqCst);
    let cache: Cache = away
        .builder()
        .max_loads(1)
        .wait_timeout(SOON)
        .build()
        .unwrap();
    let (both, began) = (Barrier::new(2), Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            let outer = cache.get("p-001", |_| {
                both.wait();
                until(|| cache.stats().misses == 2);
                thread::sleep(A_MOMENT); // until the other waits for its turn
                let inner = cache.get("p-002", load_loaf)?;
                Ok::<_, Error>(inner.into_record().map(|record| Record::clone(&record)))
            });
            assert_eq!(outer.unwrap().source(), Source::Degraded);
        });
        both.wait();
        let found = cache.get("p-002", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Degraded);
    });
    assert!(began.elapsed() < SOON / 2);
}

fn without_redis_those_who_wait_for_a_turn_share_one_load(environment: &Environment) {
    const READERS: u64 = 30;
    let away = Away::of(environment);
    let builder = away.builder().max_loads(1).load_queue_timeout(LONG);
    let builder = builder.wait_timeout(Duration::from_millis(300));
    let cache: Cache = builder.build().unwrap();
    let loads = AtomicU32::new(0);
    away.refuses.store(true, SeqCst);
    thread::scope(|scope| {
        during_a_load(&cache, "slow", || {
            for _ in 0..READERS {
                scope.spawn(|| {
                    let found = cache.get("p-001", |id| {
                        loads.fetch_add(1, SeqCst);
                        load_loaf(id)
                    });
                    assert_eq!(found.unwrap().source(), Source::Degraded);
                });
            }
            until(|| cache.stats().misses == 1 + READERS);
            thread::sleep(Duration::from_millis(400)); // longer than the wait timeout
        });
    });
    assert_eq!(loads.load(SeqCst), 1);
}

fn without_redis_a_batch_waits_for_its_turn_before_it_loads(environment: &Environment) {
    let away = Away::of(environment);
    away.refuses.store(true, SeqCst);
    let cache: Cache = away
        .builder()
        .max_loads(1)
        .wait_timeout(SOON)
        .build()
        .unwrap();
    let batch = |ids: &[&str]| -> Result<Vec<(String, Record)>, Infallible> {
        Ok(ids.iter().map(|id| ((*id).to_owned(), loaf())).collect())
    };
    thread::scope(|scope| {
        let mut both = None;
        during_a_load(&cache, "slow", || {
            both = Some(scope.spawn(|| cache.get_many(["p-001", "p-002"], batch).unwrap()));
            until(|| cache.stats().misses == 3);
            thread::sleep(A_MOMENT); // until it waits for its turn
        });
        let both = both.unwrap().join().unwrap();
        assert!(both.iter().all(|found| found.source() == Source::Degraded));
    });
    assert_eq!(cache.stats().loads, 2);
}

/// The outer load has no limit, and the one that follows it has the turn that it needs.
fn a_load_of_a_cache_without_a_limit_waits_for_no_turn_of_another(environment: &Environment) {
    let outer: Cache = environment
        .patient_builder()
        .wait_timeout(SOON)
        .build()
        .unwrap();
    let builder = one_at_a_time(environment).prefix("test:other:");
    let limited: Cache = builder.wait_timeout(SOON).build().unwrap();
    let (both, began) = (Barrier::new(2), Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            let found = outer.get("p-001", |id| {
                both.wait();
                until(|| outer.stats().misses == 2);
                thread::sleep(A_MOMENT); // until the other follows this load
                limited.get("p-002", load_loaf)?;
                load_loaf(id).map_err(|error| Error::Loader(Arc::new(error)))
            });
            found.unwrap();
        });
        let found = limited.get("p-003", |id| {
            both.wait();
            outer.get("p-001", never)?;
            load_loaf(id).map_err(|error| Error::Loader(Arc::new(error)))
        });
        found.unwrap();
    });
    assert!(began.elapsed() < SOON / 2);
}

/// Both threads hang. Those who wait for one leave the other turns to other lookups.
fn a_caller_that_waits_for_a_thread_has_no_turn(environment: &Environment) {
    let builder = environment.patient_builder().max_loads(4);
    let cache: Cache = builder.wait_timeout(SOON).build().unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let builder = LoadingCache::builder(&cache, move |id| {
        let _ = ended.lock().unwrap().recv();
        load_loaf(id)
    });
    let products = builder.hard_timeout(SOON).threads(2).build().unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let products = &products;
            scope.spawn(move || products.get(number));
        }
        until(|| cache.stats().misses == 8 && cache.stats().background_loads == 2);
        thread::sleep(A_MOMENT); // until the others wait for a thread
        let began = Instant::now();
        let found = cache.get("p-001", load_loaf).map(|found| found.source());
        drop(end);
        assert_eq!(found.unwrap(), Source::Loaded);
        assert!(began.elapsed() < SOON / 2);
    });
}

fn a_wait_for_a_thread_ends_at_the_hard_timeout(environment: &Environment) {
    let builder = environment.patient_builder();
    let cache: Cache = builder
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let builder = LoadingCache::builder(&cache, move |id| {
        let _ = ended.lock().unwrap().recv();
        load_loaf(id)
    });
    let products = builder.hard_timeout(SOON).threads(1).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| products.get("p-001").unwrap());
        until(|| cache.stats().background_loads == 1);
        let waiting = scope.spawn(|| products.get("p-002"));
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(200)); // longer than the wait timeout
        drop(end);
        assert_eq!(waiting.join().unwrap().unwrap().source(), Source::Loaded);
    });
}

fn a_lookup_that_skips_the_cache_waits_for_its_turn_for_its_own_timeout(environment: &Environment) {
    let cache: Cache = one_at_a_time(environment)
        .wait_timeout(LONG)
        .build()
        .unwrap();
    during_a_load(&cache, "slow", || {
        let options = || cache.options().wait_timeout(A_MOMENT).skip_cache(true);
        let found = options().get("p-001", never);
        assert!(matches!(found, Err(Error::Overloaded { .. })));
        let many = options().get_many(
            ["p-001"],
            |_| -> Result<Vec<(String, Record)>, Infallible> { panic!("nobody was to load") },
        );
        assert!(matches!(many, Err(Error::Overloaded { .. })));
    });
}

/// Waiting is what a burst does. It must not become a burst of reads.
fn those_who_wait_for_a_turn_read_more_and_more_seldom(environment: &Environment) {
    const RECORDS: u32 = 20;
    let away = Away::of(environment);
    let cache: Cache = away
        .builder()
        .max_loads(1)
        .wait_timeout(LONG)
        .build()
        .unwrap();
    thread::scope(|scope| {
        during_a_load(&cache, "slow", || {
            for number in 0..RECORDS {
                let cache = &cache;
                scope.spawn(move || cache.get(number, load_loaf).unwrap());
            }
            until(|| cache.stats().misses == 1 + u64::from(RECORDS));
            let first = away.reads.load(SeqCst);
            thread::sleep(Duration::from_secs(2));
            // Once in a poll of 25 ms, each would read 80 times or more.
            let again = away.reads.load(SeqCst) - first;
            assert!(again < RECORDS * 20, "{again} reads");
        });
    });
}

on_both_stores! {
    all_who_wait_for_a_turn_have_the_record_soon_after_another_process_filled_it,
    those_who_wait_for_a_turn_share_one_load_however_long_they_wait,
    a_load_that_leaves_nothing_in_the_store_answers_all_who_waited_for_its_turn,
    a_lookup_after_an_invalidation_shares_no_load_from_before_it,
    a_wait_for_another_process_is_no_wait_for_a_turn,
    without_redis_no_load_waits_for_a_lookup_that_waits_for_its_turn,
    without_redis_those_who_wait_for_a_turn_share_one_load,
    without_redis_a_batch_waits_for_its_turn_before_it_loads,
    a_load_of_a_cache_without_a_limit_waits_for_no_turn_of_another,
    a_caller_that_waits_for_a_thread_has_no_turn,
    a_wait_for_a_thread_ends_at_the_hard_timeout,
    a_lookup_that_skips_the_cache_waits_for_its_turn_for_its_own_timeout,
    those_who_wait_for_a_turn_read_more_and_more_seldom,
}
