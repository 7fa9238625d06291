//! One load for one key, whatever the number of callers, and no needless wait.
//!
//! Two separate caches act as two processes. Real processes are in `harness.rs`.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    counted::counted,
    environment::Environment,
    support::{load_loaf, loaf, until},
};
use cache_aside::{Cache, Error, Lookup, Record, Source};

/// Fires lookups of one key from `threads` threads of each cache at once.
fn stampede<E>(
    caches: &[&Cache],
    threads: usize,
    loader: impl Fn() -> Result<Option<Record>, E> + Sync,
) -> Vec<Result<Lookup<Record>, Error>>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let start = Barrier::new(caches.len() * threads);
    thread::scope(|scope| {
        let readers: Vec<_> = caches
            .iter()
            .flat_map(|cache| (0..threads).map(move |_| *cache))
            .map(|cache| {
                let (start, loader) = (&start, &loader);
                scope.spawn(move || {
                    start.wait();
                    cache.get("p-001", |_| loader())
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    })
}

fn a_cold_key_is_loaded_once_among_all_threads_of_two_processes(environment: &Environment) {
    let (one, two) = (environment.cache(), environment.cache());
    let loads = AtomicU32::new(0);
    let answers = stampede(&[&one, &two], 32, || {
        loads.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(50)); // the primary's latency
        load_loaf("")
    });
    assert_eq!(loads.load(SeqCst), 1);
    let loaded = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap())
        .inspect(|found| assert_eq!(**found.record().unwrap(), loaf()))
        .filter(|found| found.source() == Source::Loaded)
        .count();
    assert_eq!(loaded, 1);
    let suppressed = one.stats().stampedes_suppressed + two.stats().stampedes_suppressed;
    let hits = one.stats().hits + two.stats().hits;
    assert_eq!(suppressed + hits, 63);
}

fn all_who_miss_but_one_are_spared_the_load(environment: &Environment) {
    let cache = environment.cache();
    stampede(&[&cache], 8, || {
        until(|| cache.stats().misses == 8);
        load_loaf("")
    });
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.stampedes_suppressed), (1, 7));
}

fn of_all_who_wait_for_another_process_one_asks(environment: &Environment) {
    const READERS: u64 = 30;
    let holder = environment.cache();
    let (cache, questions) = counted(environment);
    let loading = Barrier::new(2);
    let (asked, answers) = thread::scope(|scope| {
        scope.spawn(|| {
            holder.get("p-001", |id| {
                loading.wait();
                until(|| cache.stats().misses == READERS);
                thread::sleep(Duration::from_millis(400)); // many polls
                load_loaf(id)
            })
        });
        loading.wait();
        let answers = stampede(&[&cache], 30, || -> Result<_, io::Error> {
            panic!("the other process loads")
        });
        (questions.asked(), answers)
    });
    for answer in answers {
        assert_eq!(answer.unwrap().source(), Source::Waited);
    }
    // One request of each reader, and pauses of 1, 2, 4, … 25 ms, each shortened by at most half.
    // If each reader polled for itself, there would be hundreds.
    assert!(asked < 3 * READERS, "{asked}");
}

fn a_record_that_does_not_exist_is_looked_for_once(environment: &Environment) {
    const LATENCY: Duration = Duration::from_secs(1);
    let cache = environment.cache();
    let loads = AtomicU32::new(0);
    let began = Instant::now();
    let answers = stampede(&[&cache], 50, || {
        loads.fetch_add(1, SeqCst);
        thread::sleep(LATENCY);
        Ok::<_, Infallible>(None)
    });
    assert!(began.elapsed() < 5 * LATENCY, "{:?}", began.elapsed());
    assert_eq!(loads.load(SeqCst), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap().record().is_none())
    );
}

fn followers_share_the_leaders_error(environment: &Environment) {
    let cache = environment.cache();
    let answers = stampede(&[&cache], 20, || {
        until(|| cache.stats().misses == 20);
        // Time for the last ones to ask for the lease. A later one loads, and fails, for itself.
        thread::sleep(Duration::from_millis(300));
        Err::<Option<Record>, _>(io::Error::other("the primary is on fire"))
    });
    assert_eq!(cache.stats().loads, 1);
    assert_eq!(cache.stats().load_errors, 1);
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Loader(_)), "{error:?}");
        let cause: Option<&io::Error> = error.loader();
        assert_eq!(cause.unwrap().to_string(), "the primary is on fire");
    }
}

fn a_leader_that_panics_frees_its_followers_and_one_of_them_loads(environment: &Environment) {
    let (cache, other) = (environment.cache(), environment.cache());
    let loads = AtomicU32::new(0);
    let start = Barrier::new(10);
    let (mut panicked, mut answered) = (0, 0);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..10)
            .map(|reader| {
                let cache = if reader % 2 == 0 { &cache } else { &other };
                let (start, loads) = (&start, &loads);
                scope.spawn(move || {
                    start.wait();
                    catch_unwind(AssertUnwindSafe(|| {
                        cache.get("p-001", |_| {
                            thread::sleep(Duration::from_millis(50));
                            assert!(loads.fetch_add(1, SeqCst) > 0, "the loader's own panic");
                            load_loaf("")
                        })
                    }))
                })
            })
            .collect();
        for reader in readers {
            match reader.join().unwrap() {
                Ok(found) => {
                    assert_eq!(**found.unwrap().record().unwrap(), loaf());
                    answered += 1;
                }
                Err(_) => panicked += 1,
            }
        }
    });
    assert_eq!((panicked, answered), (1, 9));
    assert_eq!(loads.load(SeqCst), 2);
    assert_eq!(cache.stats().load_errors + other.stats().load_errors, 1);
}

fn a_loader_that_asks_for_its_own_record_gets_an_error_at_once(environment: &Environment) {
    let cache = environment.cache();
    let began = Instant::now();
    let found = cache.get("p-001", |id| {
        let inner = cache.get(id, load_loaf);
        assert!(matches!(inner, Err(Error::Reentrant)), "{inner:?}");
        load_loaf(id)
    });
    assert!(found.unwrap().record().is_some());
    assert!(began.elapsed() < Duration::from_secs(5));
}

fn a_loader_may_ask_for_another_record(environment: &Environment) {
    let cache = environment.cache();
    let found = cache.get("p-001", |_| {
        let other = cache.get("p-002", load_loaf)?;
        Ok::<_, Error>(other.record().map(|record| (**record).clone()))
    });
    assert_eq!(**found.unwrap().record().unwrap(), loaf());
}

fn who_waits_too_long_loads_without_the_cache(environment: &Environment) {
    let wait = Duration::from_millis(100);
    let (slow, cache) = (
        environment.cache(),
        environment
            .builder::<Record>()
            .wait_timeout(wait)
            .build()
            .unwrap(),
    );
    let (loading, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            slow.get("p-001", |id| {
                loading.wait();
                done.wait();
                load_loaf(id)
            })
        });
        loading.wait();
        let began = Instant::now();
        let found = cache.get("p-001", load_loaf).unwrap();
        assert!(began.elapsed() >= wait);
        assert_eq!(found.source(), Source::Degraded);
        assert!(matches!(
            found.degraded_cause(),
            Some(Error::WaitTimeout { .. })
        ));
        done.wait();
    });
}

fn who_waits_too_long_gets_an_error_where_that_is_set(environment: &Environment) {
    let wait = Duration::from_millis(100);
    let build = || {
        environment
            .builder()
            .wait_timeout(wait)
            .fail_on_wait_timeout(true)
    };
    let cache: Cache = build().build().unwrap();
    let (loading, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.get("p-001", |id| {
                loading.wait();
                done.wait();
                load_loaf(id)
            })
        });
        loading.wait();
        // One in the same process, which follows, and one in another, which polls.
        for reader in [&cache, &build().build().unwrap()] {
            let error = reader.get("p-001", load_loaf).unwrap_err();
            let Error::WaitTimeout { waited, .. } = error else {
                panic!("{error:?}")
            };
            assert!(waited >= wait && waited < wait + Duration::from_secs(5));
        }
        done.wait();
    });
}

on_both_stores! {
    a_cold_key_is_loaded_once_among_all_threads_of_two_processes,
    all_who_miss_but_one_are_spared_the_load,
    of_all_who_wait_for_another_process_one_asks,
    a_record_that_does_not_exist_is_looked_for_once,
    followers_share_the_leaders_error,
    a_leader_that_panics_frees_its_followers_and_one_of_them_loads,
    a_loader_that_asks_for_its_own_record_gets_an_error_at_once,
    a_loader_may_ask_for_another_record,
    who_waits_too_long_loads_without_the_cache,
    who_waits_too_long_gets_an_error_where_that_is_set,
}
