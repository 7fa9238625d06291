//! TTLs with random jitter, and records that are reloaded before their TTL ends.

use std::{thread, time::Duration};

use cache_aside::{Cache, Error, Loaded, Record, Source};

use crate::{
    environment::Environment,
    support::{load_loaf, load_nothing, loaf},
};

/// A cache with a record that nearly every lookup reloads: by the setting, its load takes longer
/// than its life.
fn nearly_over(environment: &Environment) -> Cache {
    let cache: Cache = environment
        .builder()
        .ttl(Duration::from_secs(2))
        .early_refresh(1_000.0)
        .build()
        .unwrap();
    let slow = |id: &str| {
        thread::sleep(Duration::from_millis(20));
        load_loaf(id)
    };
    cache.get("p-001", slow).unwrap();
    cache
}

/// A way in which a record gets a TTL, and its name.
type Way = (&'static str, fn(&Cache, &str));

/// Repeats lookups until one refreshes.
fn refreshed<E>(
    cache: &Cache,
    mut loader: impl FnMut(&str) -> Result<Option<Record>, E>,
) -> cache_aside::Lookup<Record>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    for _ in 0..100 {
        let mut ran = false;
        let found = cache.get("p-001", |id| {
            ran = true;
            loader(id)
        });
        if ran {
            return found.unwrap();
        }
    }
    panic!("a hundred lookups, each with a chance of nine in ten");
}

fn one_loads_a_record_anew_before_its_end_and_the_others_hit(environment: &Environment) {
    let cache = nearly_over(environment);
    let found = refreshed(&cache, |id| {
        for _ in 0..10 {
            let hit = thread::scope(|scope| {
                let other =
                    || cache.get("p-001", |_| -> Result<_, Error> { panic!("a second load") });
                scope.spawn(other).join().unwrap()
            });
            assert_eq!(hit.unwrap().source(), Source::Hit);
        }
        load_loaf(id)
    });
    assert_eq!(found.source(), Source::Refreshed);
    assert_eq!(cache.stats().refreshes, 1);
}

fn a_failed_early_refresh_is_a_hit_that_says_so_and_nobody_tries_again(environment: &Environment) {
    let cache = nearly_over(environment);
    let found = refreshed(&cache, |_| Err("no connection"));
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(**found.record().unwrap(), loaf());
    assert!(matches!(found.refresh_error(), Some(Error::Loader(_))));
    for _ in 0..20 {
        let hit = cache.get("p-001", |_| -> Result<Option<Record>, Error> {
            panic!("too early");
        });
        assert!(hit.unwrap().refresh_error().is_none());
    }
}

fn a_record_that_has_long_to_live_is_left_alone(environment: &Environment) {
    let cache: Cache = environment.builder().early_refresh(1.0).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    for _ in 0..200 {
        assert_eq!(cache.get("p-001", load_loaf).unwrap().source(), Source::Hit);
    }
}

fn jitter_shortens_every_ttl_by_up_to_its_fraction(environment: &Environment) {
    let ttl = Duration::from_secs(1_000);
    let builder = || {
        environment
            .builder()
            .ttl(ttl)
            .negative_ttl(ttl)
            .ttl_jitter(0.5)
    };
    let cache: Cache = builder().build().unwrap();
    let ways: [Way; 4] = [
        ("loaded", |cache, id| drop(cache.get(id, load_loaf))),
        ("not there", |cache, id| drop(cache.get(id, load_nothing))),
        ("a field updated", |cache, id| {
            cache.get(id, load_loaf).unwrap();
            assert!(cache.update_field(id, "stock", "7").unwrap());
        }),
        ("updated", |cache, id| {
            cache.get(id, load_loaf).unwrap();
            let rye = |_: &Record| Some(Record::from([("name", "Rye Loaf")]));
            assert!(cache.update(id, rye).unwrap());
        }),
    ];
    for (name, way) in ways {
        let left = (0..100).map(|id| {
            let id = format!("{name} {id}");
            way(&cache, &id);
            cache.ttl_remaining(&id).unwrap().left().unwrap()
        });
        let left: Vec<_> = left.collect();
        // A busy machine may have been slow to ask.
        let all = ttl * 2 / 5..=ttl;
        assert!(
            left.iter().all(|left| all.contains(left)),
            "{name}: {left:?}"
        );
        let short = left.iter().filter(|&&left| left < ttl * 3 / 4).count();
        assert!(
            (20..=80).contains(&short),
            "{name}: {short} of 100 in the lower half"
        );
    }
}

fn a_ttl_that_a_loader_chose_is_kept_to(environment: &Environment) {
    let ttl = Duration::from_secs(1_000);
    let cache: Cache = environment.builder().ttl_jitter(0.9).build().unwrap();
    for id in 0..20 {
        let id = id.to_string();
        let loader = |_: &str| Ok::<_, Error>(Loaded::new(loaf()).ttl(ttl));
        cache.options().get(&id, loader).unwrap();
        let left = cache.ttl_remaining(&id).unwrap().left().unwrap();
        assert!(left > ttl * 9 / 10, "{left:?}");
    }
}

on_both_stores! {
    one_loads_a_record_anew_before_its_end_and_the_others_hit,
    a_failed_early_refresh_is_a_hit_that_says_so_and_nobody_tries_again,
    a_record_that_has_long_to_live_is_left_alone,
    jitter_shortens_every_ttl_by_up_to_its_fraction,
    a_ttl_that_a_loader_chose_is_kept_to,
}
