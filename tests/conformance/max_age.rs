//! Lookups that accept only records which have been cached for a short time.

use std::{
    convert::Infallible,
    io,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Cache, Error, LookupOptions, Record, Source,
    store::{Acquire, Floor, Recheck, Token},
};

use crate::{
    environment::{Environment, keys},
    held::{held, load, version},
    support::{load_nothing, until},
};

const SECOND: Duration = Duration::from_secs(1);
/// The default of a cache.
const TTL: Duration = Duration::from_secs(30);

/// Lets the record be this old: that much less is left of its TTL.
fn age(environment: &Environment, id: &str, age: Duration) {
    let left = TTL.checked_sub(age).unwrap();
    assert!(environment.store().expire(&keys(id), left).unwrap());
}

/// A cache with a record of version 1 that is ten seconds old.
fn aged(environment: &Environment) -> Cache {
    let cache = environment.cache();
    cache.get("k", load(1)).unwrap();
    age(environment, "k", 10 * SECOND);
    cache
}

/// A lookup that the aged record is too old for.
fn young(cache: &Cache) -> LookupOptions<'_, Record> {
    cache.options().max_age(5 * SECOND)
}

fn get(options: LookupOptions<'_, Record>, fresh: u32) -> (String, Source) {
    let found = options.get("k", load(fresh)).unwrap();
    (
        found.record().unwrap()["version"].to_owned(),
        found.source(),
    )
}

fn answer(version: u32, source: Source) -> (String, Source) {
    (version.to_string(), source)
}

fn down(_: &str) -> Result<Option<Record>, io::Error> {
    Err(io::ErrorKind::ConnectionRefused.into())
}

fn a_record_that_is_too_old_is_loaded_again_and_answers_every_other_lookup(
    environment: &Environment,
) {
    let cache = aged(environment);
    let patient = cache.options().max_age(20 * SECOND);
    assert_eq!(get(patient, 2), answer(1, Source::Hit));
    assert_eq!(get(cache.options(), 2), answer(1, Source::Hit));
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
    for options in [young(&cache), patient, cache.options()] {
        assert_eq!(get(options, 3), answer(2, Source::Hit));
    }
    assert_eq!((cache.stats().loads, cache.stats().misses), (2, 2));
}

fn with_a_max_age_of_zero_no_cached_record_answers(environment: &Environment) {
    let cache = environment.cache();
    let none = cache.options().max_age(Duration::ZERO);
    for number in 1..4 {
        assert_eq!(get(none, number), answer(number, Source::Loaded));
    }
    assert_eq!(get(cache.options(), 9), answer(3, Source::Hit));
}

/// A long TTL and a grace do not hide the age.
fn the_age_is_known_with_grace_and_with_another_ttl(environment: &Environment) {
    let grace = 600 * SECOND;
    let cache: Cache = environment.builder().grace(grace).build().unwrap();
    cache.get("k", load(1)).unwrap();
    assert_eq!(get(young(&cache), 2), answer(1, Source::Hit));
    let left = 20 * SECOND + grace;
    environment.store().expire(&keys("k"), left).unwrap();
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
    // Past its TTL, a record is stale, whatever the lookup accepts.
    cache.expire("k").unwrap();
    let patient = cache.options().max_age(3600 * SECOND);
    let found = patient.get("k", down).unwrap();
    assert_eq!(found.source(), Source::Stale);
    assert!(young(&cache).get("k", down).is_err());

    let long = young(&cache).ttl(3600 * SECOND);
    assert_eq!(get(long, 3), answer(3, Source::Loaded));
    assert_eq!(get(long, 4), answer(3, Source::Hit));
}

/// The TTL that a record was given is not known. So the longest counts.
fn a_record_with_a_shorter_ttl_than_another_counts_as_older(environment: &Environment) {
    let cache = environment.cache();
    cache.options().ttl(10 * SECOND).get("k", load(1)).unwrap();
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
    // A longer one than this cache has ever given: its age is unknown.
    let other = environment.cache();
    other.invalidate("k").unwrap();
    let long = other.options().ttl(3600 * SECOND);
    long.get("k", load(3)).unwrap();
    assert_eq!(get(young(&cache), 4), answer(4, Source::Loaded));
}

fn a_missing_record_has_an_age_too(environment: &Environment) {
    let builder = environment.builder().negative_ttl(10 * SECOND);
    let cache: Cache = builder.build().unwrap();
    cache.get("k", load_nothing).unwrap();
    let found = young(&cache).get("k", load(1)).unwrap();
    assert!(found.record().is_none() && found.source() == Source::Hit);
    let brief = cache.options().ttl(4 * SECOND);
    cache.invalidate("k").unwrap();
    brief.get("k", load_nothing).unwrap();
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
}

fn if_the_load_fails_the_caller_gets_the_error_and_the_record_stays(environment: &Environment) {
    let cache = aged(environment);
    for _ in 0..2 {
        let error = young(&cache).get("k", down).unwrap_err();
        assert!(error.loader::<io::Error>().is_some());
        assert_eq!(get(cache.options(), 2), answer(1, Source::Hit));
    }
    assert!(!environment.is_held("k"));
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
    // The primary has no such record any more.
    age(environment, "k", 10 * SECOND);
    let found = young(&cache).get("k", load_nothing).unwrap();
    assert!(found.record().is_none());
    assert!(cache.peek("k").unwrap().is_none());
}

fn many_callers_of_several_processes_share_one_load(environment: &Environment) {
    const EACH: u64 = 4;
    let caches = [aged(environment), environment.cache(), environment.cache()];
    let loads = AtomicU32::new(0);
    let before = caches[0].stats().misses;
    let misses = || caches.iter().map(|it| it.stats().misses).sum::<u64>() - before;
    let everyone = caches.len() as u64 * EACH;
    thread::scope(|scope| {
        for cache in &caches {
            for _ in 0..EACH {
                let (loads, misses) = (&loads, &misses);
                scope.spawn(move || {
                    let found = young(cache).get("k", |_| {
                        loads.fetch_add(1, SeqCst);
                        until(|| misses() == everyone);
                        Ok::<_, Infallible>(Some(version(2)))
                    });
                    assert_eq!(*found.unwrap().into_record().unwrap(), version(2));
                });
            }
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
}

/// Leader: reads the primary, fails — follower of another process: waits, then loads.
fn a_caller_that_waited_for_a_load_that_failed_never_gets_the_old_record(
    environment: &Environment,
) {
    let (cache, other) = (aged(environment), environment.cache());
    let loads = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let failed = young(&cache).get("k", |id| {
                loads.wait();
                until(|| other.stats().misses == 1);
                // Time for the other one to ask for the lease.
                thread::sleep(SECOND / 10);
                down(id)
            });
            assert!(failed.is_err());
        });
        loads.wait();
        assert_eq!(get(young(&other), 2), answer(2, Source::Loaded));
    });
}

fn a_load_that_was_already_running_is_shared(environment: &Environment) {
    let cache = environment.cache();
    let (load_held, holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| cache.get("k", load_held.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        let follower = scope.spawn(|| get(cache.options().max_age(Duration::ZERO), 2));
        until(|| cache.stats().misses == 2);
        thread::sleep(SECOND / 20);
        holder.let_go.send(()).unwrap();
        assert_eq!(follower.join().unwrap(), answer(1, Source::Waited));
    });
}

/// The lease of a refresh that has failed a moment ago keeps nobody from loading.
fn a_back_off_holds_up_no_caller(environment: &Environment) {
    let cache: Cache = environment.builder().grace(600 * SECOND).build().unwrap();
    cache.get("k", load(1)).unwrap();
    cache.expire("k").unwrap();
    assert!(cache.get("k", down).unwrap().refresh_error().is_some());
    assert_eq!(get(young(&cache), 2), answer(2, Source::Loaded));
}

fn during_a_write_it_loads_and_fills_nothing(environment: &Environment) {
    let cache = aged(environment);
    let written = cache.write("k", || {
        let found = get(young(&cache), 2);
        let is_cached = cache.peek("k").unwrap().is_some();
        Ok::<_, Infallible>((found, is_cached))
    });
    let (found, is_cached) = written.unwrap().into_value();
    assert_eq!(found, answer(2, Source::Loaded));
    assert!(!is_cached);
}

/// Reader: finds the record too old — writer: invalidates — reader: asks for the lease, loads.
fn an_invalidation_after_the_first_read_costs_no_second_load(environment: &Environment) {
    let cache = aged(environment);
    let found = young(&cache).get("k", |_| {
        let stale = cache.peek("k").unwrap();
        assert!(stale.is_some(), "it stays until it is replaced");
        Ok::<_, Infallible>(Some(version(2)))
    });
    assert_eq!(*found.unwrap().into_record().unwrap(), version(2));
    // A fill under a lease that was ended meanwhile is refused, as any other.
    age(environment, "k", 10 * SECOND);
    let found = young(&cache).get("k", |_| {
        cache.invalidate("k").unwrap();
        Ok::<_, Infallible>(Some(version(3)))
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert!(cache.peek("k").unwrap().is_none());
    assert_eq!(cache.stats().refused_fills, 1);
}

fn a_batch_loads_the_missing_and_the_too_old_in_one_call(environment: &Environment) {
    let cache = aged(environment);
    cache.get("young", load(1)).unwrap();
    let load = |ids: &[&str]| {
        assert_eq!(ids, ["k", "missing"]);
        let rows = ids.iter().map(|id| ((*id).to_owned(), version(2)));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    let found = young(&cache).get_many(["k", "young", "missing"], load);
    let found = found.unwrap();
    let versions: Vec<_> = found
        .iter()
        .map(|it| &it.record().unwrap()["version"])
        .collect();
    assert_eq!(versions, ["2", "1", "2"]);
    let sources: Vec<_> = found.iter().map(cache_aside::Lookup::source).collect();
    assert_eq!(sources, [Source::Loaded, Source::Hit, Source::Loaded]);
    let again = young(&cache)
        .get_many(["k", "young", "missing"], load)
        .unwrap();
    assert!(again.iter().all(cache_aside::Lookup::is_hit));
}

/// Another process replaces the record of the batch while the batch waits for its lease.
fn a_batch_gets_what_another_process_loads(environment: &Environment) {
    let cache = aged(environment);
    let token = Token::random();
    let store = environment.store();
    let answer = store
        .acquire(&keys("k"), token, TTL, Recheck::Never)
        .unwrap();
    assert_eq!(answer, Acquire::Acquired(Floor::None));
    thread::scope(|scope| {
        let batch = scope.spawn(|| {
            let load = |_: &[&str]| -> Result<Vec<(String, Record)>, Infallible> {
                panic!("the other process loads")
            };
            young(&cache).get_many(["k"], load).unwrap().remove(0)
        });
        until(|| cache.stats().misses == 2);
        let fields = vec![(b"version".to_vec(), b"7".to_vec())];
        assert!(store.fill(&keys("k"), token, TTL, &fields).unwrap());
        let found = batch.join().unwrap();
        assert_eq!(*found.into_record().unwrap(), version(7));
    });
}

fn a_lookup_that_waits_for_its_turn_to_load_gets_no_record_that_is_too_old(
    environment: &Environment,
) {
    let cache = environment.builder().max_loads(1);
    // Long enough to read the record again.
    let cache: Cache = cache.load_queue_timeout(SECOND / 4).build().unwrap();
    cache.get("k", load(1)).unwrap();
    age(environment, "k", 10 * SECOND);
    let (is_loading, may_end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let load = |id: &str| {
                is_loading.wait();
                may_end.wait();
                load_nothing(id)
            };
            cache.get("other", load)
        });
        is_loading.wait();
        let found = young(&cache).get("k", load(2));
        may_end.wait();
        assert!(matches!(found, Err(Error::Overloaded { .. })), "{found:?}");
    });
}

on_both_stores!(
    a_lookup_that_waits_for_its_turn_to_load_gets_no_record_that_is_too_old,
    a_record_that_is_too_old_is_loaded_again_and_answers_every_other_lookup,
    with_a_max_age_of_zero_no_cached_record_answers,
    the_age_is_known_with_grace_and_with_another_ttl,
    a_record_with_a_shorter_ttl_than_another_counts_as_older,
    a_missing_record_has_an_age_too,
    if_the_load_fails_the_caller_gets_the_error_and_the_record_stays,
    many_callers_of_several_processes_share_one_load,
    a_caller_that_waited_for_a_load_that_failed_never_gets_the_old_record,
    a_load_that_was_already_running_is_shared,
    a_back_off_holds_up_no_caller,
    during_a_write_it_loads_and_fills_nothing,
    an_invalidation_after_the_first_read_costs_no_second_load,
    a_batch_loads_the_missing_and_the_too_old_in_one_call,
    a_batch_gets_what_another_process_loads,
);
