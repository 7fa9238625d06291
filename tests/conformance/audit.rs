//! The audit: what it reports, and what it does not.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use cache_aside::{
    Audit, Audited, Cache, CacheBuilder, Error, Event, Inconsistency, Loaded, LoadingCache, Record,
    Source,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    environment::{Environment, keys},
    held::{load, version},
    support::{load_nothing, until},
};

/// Longer than a busy machine takes for a sample.
const LONG: Duration = Duration::from_secs(20);

/// A report: the id, and in what the records differ.
type Report = (String, Inconsistency, Vec<String>);

/// A cache whose hits are all audited.
struct Audits<R = Record> {
    cache: Cache<R>,
    outcomes: Receiver<Audited>,
    reports: Receiver<Report>,
}

impl<R> Audits<R> {
    fn outcome(&self) -> Audited {
        self.outcomes.recv_timeout(LONG).unwrap()
    }
}

/// Builds a cache of which each hit is a sample.
fn audits<R>(builder: CacheBuilder<R>, audit: Audit<R>) -> Audits<R>
where
    R: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    audits_after(Duration::from_millis(1), builder, audit)
}

/// The same with this delay.
fn audits_after<R>(delay: Duration, builder: CacheBuilder<R>, audit: Audit<R>) -> Audits<R>
where
    R: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (ended, outcomes) = channel();
    let (reported, reports) = channel();
    let observer = move |_: &str, event: &Event<'_>| match event {
        Event::Audited { outcome, .. } => drop(ended.send(*outcome)),
        Event::Inconsistent { id, kind, fields } => {
            let fields = fields.iter().map(|&field| field.to_owned());
            drop(reported.send(((*id).to_owned(), *kind, fields.collect())));
        }
        _ => {}
    };
    let cache = builder
        .audit(audit.rate(1.0).delay(delay).max_per_second(100_000))
        .observer(observer)
        .build()
        .unwrap();
    Audits {
        cache,
        outcomes,
        reports,
    }
}

/// A primary that answers the loads of the audit with these versions, the last one for all others.
/// `before` runs before each load, and gets its number.
fn primary(
    versions: &'static [u32],
    before: impl Fn(usize) + Send + Sync + 'static,
) -> Audit<Record> {
    let count = Mutex::new(0);
    Audit::new(move |_: &str| {
        let number = {
            let mut count = count.lock();
            *count += 1;
            *count
        };
        before(number);
        let at = (number - 1).min(versions.len() - 1);
        Ok::<_, Infallible>(Some(version(versions[at])))
    })
}

fn undisturbed(_: usize) {}

/// Fills version 1, and hits it.
fn hit_version_1(audits: &Audits) {
    audits.cache.get("k", load(1)).unwrap();
    let found = audits.cache.get("k", load(9)).unwrap();
    assert_eq!(found.source(), Source::Hit);
}

/// How a sample of version 1 ends with this primary.
fn ends(environment: &Environment, audit: Audit<Record>) -> Audited {
    let audits = audits(environment.builder(), audit);
    hit_version_1(&audits);
    let outcome = audits.outcome();
    let is_reported = audits.reports.try_recv().is_ok();
    assert_eq!(is_reported, outcome == Audited::Inconsistent);
    outcome
}

fn a_primary_that_changes_behind_the_cache_is_reported_once(environment: &Environment) {
    let audits = audits(environment.builder(), primary(&[2], undisturbed));
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Inconsistent);
    let fields = vec!["version".to_owned()];
    let report = ("k".to_owned(), Inconsistency::Fields, fields);
    assert_eq!(audits.reports.recv().unwrap(), report);
    assert!(audits.reports.try_recv().is_err());
    let stats = audits.cache.stats();
    assert_eq!(
        (stats.audits, stats.inconsistencies, stats.loads),
        (1, 1, 1)
    );
    // The audit has changed nothing.
    let found = audits.cache.get("k", load(9)).unwrap();
    assert_eq!(**found.record().unwrap(), version(1));
}

fn a_record_that_equals_the_primary_is_loaded_once(environment: &Environment) {
    let audits = audits(
        environment.builder(),
        primary(&[1], |number| assert_eq!(number, 1)),
    );
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Consistent);
    let stats = audits.cache.stats();
    assert_eq!(
        (stats.audits, stats.inconsistencies, stats.loads),
        (1, 0, 1)
    );
}

/// The second load sees the write, and the second look that its invalidation has returned.
fn a_write_between_the_looks_is_no_inconsistency(environment: &Environment) {
    let other = environment.cache();
    let audit = primary(&[2], move |number| {
        if number == 2 {
            other.invalidate("k").unwrap();
        }
    });
    assert_eq!(ends(environment, audit), Audited::Unconfirmed);
}

fn a_refill_with_the_same_content_is_another_fill(environment: &Environment) {
    let other = environment.cache();
    let audit = primary(&[2], move |number| {
        if number == 2 {
            other.invalidate("k").unwrap();
            let brief = other.options().ttl(Duration::from_secs(10));
            brief.get("k", load(1)).unwrap();
        }
    });
    assert_eq!(ends(environment, audit), Audited::Unconfirmed);
}

fn a_record_whose_ttl_another_step_has_set_is_another_fill(environment: &Environment) {
    let store = Arc::clone(environment.store());
    let audit = primary(&[2], move |number| {
        if number == 2 {
            store.expire(&keys("k"), Duration::from_secs(10)).unwrap();
        }
    });
    assert_eq!(ends(environment, audit), Audited::Unconfirmed);
}

fn an_update_between_the_looks_is_no_inconsistency(environment: &Environment) {
    let other: Cache = environment
        .builder()
        .keep_ttl_on_update(true)
        .build()
        .unwrap();
    let audit = primary(&[2], move |number| {
        if number == 2 {
            assert!(other.update_field("k", "version", "2").unwrap());
        }
    });
    assert_eq!(ends(environment, audit), Audited::Unconfirmed);
}

/// It returns what was there before the cached version. Then it has that version, or a later one
/// whose invalidation is still under way.
fn a_lagging_replica_is_not_reported(environment: &Environment) {
    assert_eq!(
        ends(environment, primary(&[0, 1], undisturbed)),
        Audited::Unconfirmed
    );
    environment.cache().invalidate("k").unwrap();
    let other = environment.cache();
    let audit = primary(&[0, 2], move |number| {
        if number == 3 {
            other.invalidate("k").unwrap();
        }
    });
    assert_eq!(ends(environment, audit), Audited::Unconfirmed);
}

/// No two loads return the same, so none of them alone shows that the record is old.
fn a_record_that_the_primary_changes_all_the_time_is_reported(environment: &Environment) {
    let audit = primary(&[2, 3, 4], |number| assert!(number <= 3));
    assert_eq!(ends(environment, audit), Audited::Inconsistent);
}

/// A record that is read often does not take the places of all others.
fn a_record_that_waits_for_its_next_look_is_not_compared_again(environment: &Environment) {
    let (looked, has_looked) = channel();
    let audit = primary(&[2], move |_| looked.send(()).unwrap());
    let audits = audits_after(Duration::from_secs(5), environment.builder(), audit);
    hit_version_1(&audits);
    has_looked.recv_timeout(LONG).unwrap();
    audits.cache.get("k", load(9)).unwrap();
    assert_eq!(audits.outcome(), Audited::Skipped);
    assert!(has_looked.try_recv().is_err());
}

/// It would stay in its grace, but no longer claim to be right.
fn a_record_that_is_stale_by_the_second_look_is_not_loaded(environment: &Environment) {
    let audit = primary(&[2], |_| panic!("it is not loaded"));
    let builder = environment.builder().grace(Duration::from_secs(600));
    let audits = audits_after(Duration::from_secs(5), builder, audit);
    let brief = audits.cache.options().ttl(Duration::from_secs(4));
    brief.get("k", load(1)).unwrap();
    assert!(audits.cache.get("k", load(9)).unwrap().is_hit());
    assert_eq!(audits.outcome(), Audited::Ended);
}

#[derive(Serialize, Deserialize)]
struct Product {
    name: String,
    price_cents: u32,
    stock: Option<u32>,
}

fn the_report_names_fields_and_no_values(environment: &Environment) {
    let product = |price_cents, stock| Product {
        name: "Rye Loaf".to_owned(),
        price_cents,
        stock,
    };
    let audit = Audit::new(move |_: &str| Ok::<_, Infallible>(Some(product(799, None))));
    let audits = audits(environment.builder(), audit);
    for _ in 0..2 {
        let load = |_: &str| Ok::<_, Infallible>(Some(product(699, Some(7))));
        audits.cache.get("k", load).unwrap();
    }
    assert_eq!(audits.outcome(), Audited::Inconsistent);
    let (id, kind, fields) = audits.reports.recv().unwrap();
    assert_eq!((&*id, kind), ("k", Inconsistency::Fields));
    assert_eq!(fields, ["price_cents", "stock"]);
}

fn a_record_that_the_primary_does_not_have_is_reported(environment: &Environment) {
    let audits = audits(environment.builder(), Audit::new(load_nothing));
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Inconsistent);
    let report = ("k".to_owned(), Inconsistency::NotInPrimary, Vec::new());
    assert_eq!(audits.reports.recv().unwrap(), report);
}

fn a_cached_absence_is_compared_too(environment: &Environment) {
    let negative = || environment.builder().negative_ttl(Duration::from_secs(30));
    let hit = |audits: &Audits| {
        for _ in 0..2 {
            audits.cache.get("k", load_nothing).unwrap();
        }
        audits.outcome()
    };
    let right = audits(negative(), Audit::new(load_nothing));
    assert_eq!(hit(&right), Audited::Consistent);
    right.cache.invalidate("k").unwrap();
    let wrong = audits(negative(), primary(&[1], undisturbed));
    assert_eq!(hit(&wrong), Audited::Inconsistent);
    let report = ("k".to_owned(), Inconsistency::OnlyInPrimary, Vec::new());
    assert_eq!(wrong.reports.recv().unwrap(), report);
}

/// A loader that waits for the test in its first call.
fn held_primary() -> (Audit<Record>, Receiver<()>, Sender<()>, Weak<()>) {
    let (began, has_begun) = channel();
    let (let_go, was_let_go) = channel::<()>();
    let was_let_go = Mutex::new(was_let_go);
    let owned = Arc::new(());
    let weak = Arc::downgrade(&owned);
    let audit = primary(&[1], move |number| {
        assert_eq!(Arc::strong_count(&owned), 1);
        if number == 1 {
            began.send(()).unwrap();
            was_let_go.lock().recv_timeout(LONG).unwrap();
        }
    });
    (audit, has_begun, let_go, weak)
}

fn samples_beyond_those_that_fit_into_the_queue_are_skipped(environment: &Environment) {
    const WAIT: usize = 100;
    const SKIPPED: usize = 7;
    let (audit, has_begun, let_go, _) = held_primary();
    let audits = audits(environment.builder(), audit);
    hit_version_1(&audits);
    has_begun.recv_timeout(LONG).unwrap();
    for _ in 0..WAIT + SKIPPED {
        audits.cache.get("k", load(9)).unwrap();
    }
    assert_eq!(audits.cache.stats().audit_skips, SKIPPED as u64);
    for _ in 0..SKIPPED {
        assert_eq!(audits.outcome(), Audited::Skipped);
    }
    let_go.send(()).unwrap();
    for _ in 0..=WAIT {
        assert_eq!(audits.outcome(), Audited::Consistent);
    }
    assert_eq!(audits.cache.stats().audits, WAIT as u64 + 1);
}

/// The thread ends after its sample, and drops the loader.
fn the_drop_of_a_cache_does_not_wait_for_its_audit(environment: &Environment) {
    let (audit, has_begun, let_go, loader) = held_primary();
    let audits = audits(environment.builder(), audit);
    hit_version_1(&audits);
    has_begun.recv_timeout(LONG).unwrap();
    drop(audits.cache);
    assert!(loader.upgrade().is_some());
    let_go.send(()).unwrap();
    until(|| loader.upgrade().is_none());
}

fn a_loader_that_fails_or_panics_is_counted_and_the_audit_goes_on(environment: &Environment) {
    let number = AtomicU32::new(0);
    let audit = Audit::new(move |_: &str| match number.fetch_add(1, SeqCst) {
        0 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        1 => panic!("a loader"),
        _ => Ok(Some(version(1))),
    });
    let audits = audits(environment.builder(), audit);
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Failed);
    for expected in [Audited::Failed, Audited::Consistent] {
        audits.cache.get("k", load(9)).unwrap();
        assert_eq!(audits.outcome(), expected);
    }
    let stats = audits.cache.stats();
    assert_eq!((stats.audits, stats.audit_errors), (3, 2));
}

fn a_record_past_its_ttl_does_not_claim_to_be_right(environment: &Environment) {
    let builder = environment.builder().grace(Duration::from_secs(600));
    let store = Arc::clone(environment.store());
    // The record becomes stale between the hit and the second look.
    let audit = primary(&[2], move |_| {
        store.expire(&keys("k"), Duration::from_secs(599)).unwrap();
    });
    let audits = audits(builder, audit);
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Unconfirmed);
    // A stale hit is no sample.
    let found = audits.cache.options().wait_timeout(LONG);
    let found = found.get("k", |_| Err::<Option<Record>, _>(io::Error::other("down")));
    assert_eq!(found.unwrap().source(), Source::Stale);
    assert_eq!(audits.cache.stats().audits, 1);
}

fn a_record_that_expires_within_the_delay_is_not_loaded(environment: &Environment) {
    let (ended, outcomes) = channel();
    let audit = primary(&[2], |_| unreachable!("it is not loaded")).rate(1.0);
    let cache: Cache = environment
        .builder()
        .audit(audit.delay(Duration::from_secs(20)))
        .observer(move |_: &str, event: &Event<'_>| {
            if let Event::Audited { outcome, .. } = event {
                ended.send(*outcome).unwrap();
            }
        })
        .build()
        .unwrap();
    let brief = cache.options().ttl(Duration::from_secs(10));
    for _ in 0..2 {
        brief.get("k", load(1)).unwrap();
    }
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), Audited::Ended);
}

fn a_record_under_a_tag_that_was_invalidated_has_ended(environment: &Environment) {
    let other = environment.cache();
    let audit = primary(&[2], move |number| {
        if number == 2 {
            other.invalidate_tag("shoes").unwrap();
        }
    });
    let audits = audits(environment.builder(), audit);
    let get = || {
        let found = audits.cache.options().tags(&["shoes"]).get("k", load(1));
        found.unwrap().source()
    };
    assert_eq!([get(), get()], [Source::Loaded, Source::Hit]);
    assert_eq!(audits.outcome(), Audited::Unconfirmed);
    assert_eq!([get(), get()], [Source::Loaded, Source::Hit]);
    // Now nothing ends it.
    assert_eq!(audits.outcome(), Audited::Inconsistent);
}

fn hits_of_batches_near_caches_and_loading_caches_are_sampled(environment: &Environment) {
    let audits = near_audits(environment, primary(&[1], undisturbed));
    let cache = &audits.cache;
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Consistent);
    let none = |_: &[&str]| Ok::<_, Infallible>(Vec::<(String, Record)>::new());
    cache.get_many(["k"], none).unwrap();
    assert_eq!(audits.outcome(), Audited::Consistent);
    let loading = LoadingCache::builder(cache, load_nothing).build().unwrap();
    loading.get("k").unwrap();
    assert_eq!(audits.outcome(), Audited::Consistent);
    until(|| cache.get("k", load(9)).unwrap().source() == Source::Near);
    let stats = cache.stats();
    assert!(stats.near_hits > 0);
    until(|| cache.stats().audits + cache.stats().audit_skips == stats.hits);
}

/// All hits of a cache with a near cache. The delay is longer than a near record may be old, and
/// that is long enough for a busy machine.
fn near_audits(environment: &Environment, audit: Audit<Record>) -> Audits {
    let bound = Duration::from_millis(400);
    let builder = environment.builder().near_cache(100).near_staleness(bound);
    audits_after(bound + Duration::from_millis(1), builder, audit)
}

/// How the sample of a near hit ends, if the primary changes before it. `before_last`: what happens
/// before the second look.
fn ends_near(
    environment: &Environment,
    before_last: impl Fn(&Cache) + Send + Sync + 'static,
) -> (Audited, Vec<Report>) {
    // The loads since the primary changed. `None`: it has not changed.
    let loads = Arc::new(Mutex::new(None));
    let own = Arc::new(Mutex::new(None));
    let audit = {
        let (loads, own) = (Arc::clone(&loads), Arc::clone(&own));
        Audit::new(move |_: &str| {
            let count = loads.lock().as_mut().map(|count| {
                *count += 1;
                *count
            });
            if count == Some(2) {
                // Taken, because a loader that holds the cache keeps it alive.
                before_last(&own.lock().take().unwrap());
            }
            let number = count.map_or(1, |_| 2);
            Ok::<_, Infallible>(Some(version(number)))
        })
    };
    let audits = near_audits(environment, audit);
    let cache = &audits.cache;
    *own.lock() = Some(cache.clone());
    let is_near = || cache.get("k", load(1)).unwrap().source() == Source::Near;
    until(is_near);
    for _ in 0..cache.stats().hits {
        assert_eq!(audits.outcome(), Audited::Consistent);
    }
    *loads.lock() = Some(0);
    assert!(is_near());
    let outcome = audits.outcome();
    (outcome, audits.reports.try_iter().collect())
}

fn a_near_copy_that_stays_is_reported(environment: &Environment) {
    let (outcome, reports) = ends_near(environment, |_| ());
    assert_eq!(outcome, Audited::Inconsistent);
    let fields = vec!["version".to_owned()];
    assert_eq!(reports, [("k".to_owned(), Inconsistency::Fields, fields)]);
}

fn a_near_copy_that_was_evicted_is_not_reported(environment: &Environment) {
    let evicted = ends_near(environment, |cache| {
        cache.invalidate("k").unwrap();
    });
    assert_eq!(evicted, (Audited::Unconfirmed, Vec::new()));
    // In its place there is another copy, with the same content.
    let replaced = ends_near(environment, |cache| {
        cache.invalidate("k").unwrap();
        until(|| cache.get("k", load(1)).unwrap().source() == Source::Near);
    });
    assert_eq!(replaced, (Audited::Unconfirmed, Vec::new()));
}

fn without_a_turn_to_load_a_sample_is_skipped(environment: &Environment) {
    let builder = environment.builder().max_loads(1);
    let audits = audits(builder, primary(&[1], undisturbed));
    audits.cache.get("k", load(1)).unwrap();
    let found = audits.cache.get("other", |_| {
        // This load has the only turn.
        audits.cache.get("k", load(9)).unwrap();
        assert_eq!(audits.outcome(), Audited::Skipped);
        Ok::<_, Infallible>(None)
    });
    found.unwrap();
    audits.cache.get("k", load(9)).unwrap();
    assert_eq!(audits.outcome(), Audited::Consistent);
}

fn a_loader_that_sees_the_context_reads_the_primary(environment: &Environment) {
    let builder = environment.builder().versions(Duration::from_secs(60));
    let audit = Audit::with_context(|context| {
        assert!(context.read_primary());
        Ok::<_, Infallible>(Loaded::new(version(1)))
    });
    let audits = audits(builder, audit);
    hit_version_1(&audits);
    assert_eq!(audits.outcome(), Audited::Consistent);
}

/// A field of another program, and a text that decodes to the same number.
fn what_the_record_type_does_not_see_makes_no_difference(environment: &Environment) {
    let load = |_: &str| {
        Ok::<_, Infallible>(Some(Product {
            name: "Rye Loaf".to_owned(),
            price_cents: 699,
            stock: None,
        }))
    };
    let audits = audits(environment.builder(), Audit::new(load));
    audits.cache.get("k", load).unwrap();
    let other = environment.cache();
    assert!(other.update_field("k", "colour", "brown").unwrap());
    assert!(other.update_field("k", "price_cents", "0699").unwrap());
    audits.cache.get("k", load).unwrap();
    assert_eq!(audits.outcome(), Audited::Consistent);
}

fn an_audit_that_could_confirm_nothing_is_refused(environment: &Environment) {
    let with = |audit: Audit<Record>| environment.builder().audit(audit).build().map(drop);
    let audit = || primary(&[1], undisturbed);
    let second = Duration::from_secs(1);
    for wrong in [
        audit().rate(0.0),
        audit().rate(1.1),
        audit().rate(f64::NAN),
        audit().delay(Duration::ZERO),
        audit().delay(30 * second),
        audit().max_per_second(0),
        audit().max_per_second(100_001),
    ] {
        let refused = with(wrong).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::InvalidSetting {
                    setting: "audit",
                    ..
                }
            ),
            "{refused}"
        );
    }
    with(audit().delay(29 * second)).unwrap();
    let near = environment.builder().near_cache(100);
    let refused = near.audit(audit().delay(second)).build().map(drop);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("near_staleness"), "{refused}");
}

on_both_stores! {
    a_primary_that_changes_behind_the_cache_is_reported_once,
    a_record_that_equals_the_primary_is_loaded_once,
    a_write_between_the_looks_is_no_inconsistency,
    a_refill_with_the_same_content_is_another_fill,
    a_record_whose_ttl_another_step_has_set_is_another_fill,
    an_update_between_the_looks_is_no_inconsistency,
    a_lagging_replica_is_not_reported,
    a_record_that_the_primary_changes_all_the_time_is_reported,
    a_record_that_waits_for_its_next_look_is_not_compared_again,
    a_record_that_is_stale_by_the_second_look_is_not_loaded,
    the_report_names_fields_and_no_values,
    a_record_that_the_primary_does_not_have_is_reported,
    a_cached_absence_is_compared_too,
    samples_beyond_those_that_fit_into_the_queue_are_skipped,
    the_drop_of_a_cache_does_not_wait_for_its_audit,
    a_loader_that_fails_or_panics_is_counted_and_the_audit_goes_on,
    a_record_past_its_ttl_does_not_claim_to_be_right,
    a_record_that_expires_within_the_delay_is_not_loaded,
    a_record_under_a_tag_that_was_invalidated_has_ended,
    a_near_copy_that_stays_is_reported,
    a_near_copy_that_was_evicted_is_not_reported,
    hits_of_batches_near_caches_and_loading_caches_are_sampled,
    without_a_turn_to_load_a_sample_is_skipped,
    a_loader_that_sees_the_context_reads_the_primary,
    what_the_record_type_does_not_see_makes_no_difference,
    an_audit_that_could_confirm_nothing_is_refused,
}
