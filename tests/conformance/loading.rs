//! Caches with a loader of their own: nobody waits for a refresh, or longer than the hard timeout.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Backend, Cache, Error, Loaded, LoadingCache, LoadingCacheBuilder, Record, Source,
    store::{Failure, Keys, Refresh, Store, Token},
};

use crate::{
    delegate::delegate,
    environment::Environment,
    support::{load_loaf, loaf, until},
};

const LONG: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(20);

fn cache(environment: &Environment) -> Cache {
    environment.patient_builder().grace(LONG).build().unwrap()
}

/// A cache with a loaf in it that is stale.
fn stale(environment: &Environment) -> Cache {
    let cache = cache(environment);
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.expire("p-001").unwrap());
    cache
}

fn rye() -> Record {
    Record::from([("name", "Rye Loaf")])
}

/// A loader that says when it begins, and ends with what it is told.
struct Gate {
    begun: Receiver<String>,
    end: Sender<Option<Record>>,
    loads: Arc<AtomicU32>,
}

impl Gate {
    fn builder(cache: &Cache) -> (Gate, LoadingCacheBuilder<Record>) {
        let (start, begun) = mpsc::channel();
        let (end, answers) = mpsc::channel();
        let (answers, loads) = (Mutex::new(answers), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&loads);
        let loader = move |id: &str| {
            count.fetch_add(1, SeqCst);
            let name = thread::current().name().unwrap_or_default().to_owned();
            start.send(format!("{id} on {name}")).unwrap();
            let record: Result<Option<Record>, mpsc::RecvError> = answers.lock().unwrap().recv();
            record
        };
        let gate = Gate { begun, end, loads };
        (gate, LoadingCache::builder(cache, loader))
    }

    /// The id of the load that begins next, and the name of its thread.
    fn next(&self) -> String {
        self.begun.recv_timeout(SOON).unwrap()
    }

    fn loads(&self) -> u32 {
        self.loads.load(SeqCst)
    }
}

fn a_stale_record_is_returned_at_once_and_reloaded_on_a_thread(environment: &Environment) {
    let cache = stale(environment);
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.build().unwrap();
    for _ in 0..100 {
        let served = products.get("p-001").unwrap();
        assert_eq!(**served.record().unwrap(), loaf());
        assert!(served.is_stale());
    }
    assert_eq!(gate.next(), "p-001 on cache-aside-refresher");
    assert!(products.get("p-001").unwrap().is_stale());
    gate.end.send(Some(rye())).unwrap();
    until(|| !products.get("p-001").unwrap().is_stale());
    let fresh = products.get("p-001").unwrap();
    assert_eq!(fresh.source(), Source::Hit);
    assert_eq!(**fresh.record().unwrap(), rye());
    let stats = cache.stats();
    assert_eq!(
        (gate.loads(), stats.background_loads, stats.loads),
        (1, 1, 2)
    );
    assert_eq!(
        (stats.refreshes, stats.refresh_errors, stats.misses),
        (0, 0, 1)
    );
    assert!(!environment.is_held("p-001"));
    assert!(products.shutdown(SOON));
}

fn of_all_processes_that_find_a_record_stale_one_reloads_it(environment: &Environment) {
    let caches = [stale(environment), cache(environment), cache(environment)];
    let loads = Arc::new(AtomicU32::new(0));
    let all = caches.each_ref().map(|cache| {
        let loads = Arc::clone(&loads);
        cache.loading(move |_| {
            loads.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(50)); // the primary's latency
            Ok::<_, Infallible>(Some(rye()))
        })
    });
    let start = Barrier::new(12);
    thread::scope(|scope| {
        for number in 0..12 {
            let (products, start) = (&all[number % 3], &start);
            scope.spawn(move || {
                start.wait();
                until(|| products.get("p-001").unwrap().source() == Source::Hit);
            });
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
    assert!(caches.iter().all(|cache| cache.stats().refreshes == 0));
}

fn a_refresh_that_fails_or_panics_leaves_the_record_and_is_counted(environment: &Environment) {
    for panics in [false, true] {
        let cache = stale(environment);
        let products = cache.loading(move |_| {
            assert!(!panics, "the loader's own");
            Err::<Option<Record>, _>("no connection")
        });
        assert!(products.get("p-001").unwrap().is_stale());
        until(|| cache.stats().refresh_errors == 1);
        assert!(products.get("p-001").unwrap().is_stale());
        let stats = cache.stats();
        assert_eq!(stats.background_panics, u64::from(panics));
        assert_eq!(stats.load_errors, 1);
        assert!(products.shutdown(SOON));
        // Nobody retries for one lease TTL.
        assert_eq!(cache.stats().background_loads, 1);
        cache.invalidate("p-001").unwrap();
    }
}

fn a_caller_waits_for_a_fresh_record_for_the_soft_timeout(environment: &Environment) {
    let cache = stale(environment);
    let builder = LoadingCache::builder(&cache, |_| Ok::<_, Infallible>(Some(rye())));
    let products = builder.soft_timeout(SOON).build().unwrap();
    let fresh = products.get("p-001").unwrap();
    assert_eq!(fresh.source(), Source::Refreshed);
    assert_eq!(**fresh.record().unwrap(), rye());
    assert_eq!(cache.stats().refreshes, 1);
    assert_eq!(products.get("p-001").unwrap().source(), Source::Hit);

    cache.expire("p-001").unwrap();
    let (gate, builder) = Gate::builder(&cache);
    let slow = builder
        .soft_timeout(Duration::from_millis(20))
        .build()
        .unwrap();
    let began = Instant::now();
    assert!(slow.get("p-001").unwrap().is_stale());
    assert!(began.elapsed() >= Duration::from_millis(20));
    gate.next();
    gate.end.send(Some(loaf())).unwrap();
    until(|| slow.get("p-001").unwrap().source() == Source::Hit);
    assert_eq!(gate.loads(), 1);
}

fn an_error_of_the_reload_reaches_a_caller_that_waits_for_it(environment: &Environment) {
    let cache = stale(environment);
    let builder = LoadingCache::builder(&cache, |_| Err::<Option<Record>, _>("no connection"));
    let products = builder.soft_timeout(SOON).build().unwrap();
    let served = products.get("p-001").unwrap();
    assert!(served.is_stale());
    let error = served.refresh_error().unwrap();
    assert!(format!("{error:#}").contains("no connection"));
}

/// The reload read the primary before the invalidation, and ends after it.
fn a_caller_that_waits_for_an_earlier_reload_gets_nothing_from_before_an_invalidation(
    environment: &Environment,
) {
    let cache = stale(environment);
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.soft_timeout(SOON).build().unwrap();
    thread::scope(|scope| {
        let before = scope.spawn(|| products.get("p-001").unwrap());
        gate.next();
        let newer = Record::from([("name", "New Loaf")]);
        cache.invalidate("p-001").unwrap();
        let load = |_: &str| Ok::<_, Infallible>(Some(newer.clone()));
        cache.get("p-001", load).unwrap();
        cache.expire("p-001").unwrap();
        let after = scope.spawn(|| products.get("p-001").unwrap());
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(50)); // until it waits
        gate.end.send(Some(rye())).unwrap();
        assert_eq!(**before.join().unwrap().record().unwrap(), rye());
        let after = after.join().unwrap();
        assert_eq!(**after.record().unwrap(), newer);
    });
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(
        cache
            .peek("p-001")
            .unwrap()
            .unwrap()
            .record()
            .unwrap()
            .get("name"),
        Some("New Loaf")
    );
}

fn a_caller_gets_an_error_after_the_hard_timeout_and_the_load_goes_on(environment: &Environment) {
    let cache = cache(environment);
    let (gate, builder) = Gate::builder(&cache);
    let timeout = Duration::from_millis(30);
    let products = builder.hard_timeout(timeout).build().unwrap();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| products.get("p-001")))
            .collect();
        for reader in readers {
            let error = reader.join().unwrap().unwrap_err();
            let Error::LoadTimeout { waited, .. } = &error else {
                panic!("{error}");
            };
            assert!(*waited >= timeout && *waited < SOON);
        }
    });
    assert_eq!(gate.next(), "p-001 on cache-aside-loader");
    assert!(environment.is_held("p-001"), "its lease is renewed");
    gate.end.send(Some(loaf())).unwrap();
    until(|| cache.peek("p-001").unwrap().is_some());
    assert_eq!(products.get("p-001").unwrap().source(), Source::Hit);
    let stats = cache.stats();
    assert_eq!(
        (gate.loads(), stats.load_timeouts, stats.degraded),
        (1, 4, 0)
    );
    assert!(products.shutdown(SOON));
}

fn a_load_within_the_hard_timeout_answers_as_any_load(environment: &Environment) {
    let cache = cache(environment);
    let builder = LoadingCache::builder(&cache, |id| match id {
        "panics" => panic!("the loader's own"),
        "fails" => Err("no connection"),
        "nothing" => Ok(None),
        _ => Ok(Some(loaf())),
    });
    let products = builder.hard_timeout(SOON).build().unwrap();
    assert_eq!(products.get("p-001").unwrap().source(), Source::Loaded);
    assert_eq!(products.get("p-001").unwrap().source(), Source::Hit);
    assert!(products.get("nothing").unwrap().record().is_none());
    for (id, message) in [("fails", "no connection"), ("panics", "panicked")] {
        let error = products.get(id).unwrap_err();
        assert!(matches!(error, Error::Loader(_)));
        assert!(format!("{error:#}").contains(message), "{error:#}");
        assert!(!environment.is_held(id));
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.background_loads), (4, 4));
    assert_eq!((stats.load_errors, stats.background_panics), (2, 1));
}

fn thousands_of_timeouts_leave_no_thread_and_no_lease(environment: &Environment) {
    const READERS: usize = 32;
    let cache = cache(environment);
    let (gate, builder) = Gate::builder(&cache);
    let builder = builder.hard_timeout(Duration::from_millis(1)).threads(3);
    let products = builder.build().unwrap();
    let timeouts = AtomicU32::new(0);
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (products, timeouts) = (&products, &timeouts);
            scope.spawn(move || {
                for number in 0..320 {
                    let found = products.get(format!("{reader}-{number}"));
                    assert!(matches!(found, Err(Error::LoadTimeout { .. })));
                    timeouts.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert!(timeouts.load(SeqCst) >= 10_000);
    assert_eq!(gate.loads(), 3);
    let loading: Vec<_> = (0..3).map(|_| gate.next()).collect();
    drop(gate.end);
    assert!(products.shutdown(SOON));
    for load in &loading {
        let id = load.split(' ').next().unwrap();
        until(|| !environment.is_held(id));
    }
    for reader in 0..READERS {
        assert!(!environment.is_held(&format!("{reader}-319")));
    }
}

/// Its thread was reserved before the lease.
fn no_lease_waits_for_a_thread(environment: &Environment) {
    let cache = cache(environment);
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.hard_timeout(SOON).threads(1).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| products.get("p-001").unwrap());
        gate.next();
        let waiting = scope.spawn(|| products.get("p-002").unwrap());
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(30)); // until it waits
        assert!(!environment.is_held("p-002"));
        gate.end.send(Some(loaf())).unwrap();
        gate.next();
        gate.end.send(Some(rye())).unwrap();
        assert_eq!(**waiting.join().unwrap().record().unwrap(), rye());
    });
}

fn a_loader_that_reads_its_own_cache_needs_no_second_thread(environment: &Environment) {
    let cache = cache(environment);
    let this: Arc<Mutex<Option<LoadingCache>>> = Arc::default();
    let inner = Arc::clone(&this);
    let builder = LoadingCache::builder_with_context(&cache, move |context| {
        let products = inner.lock().unwrap().clone().unwrap();
        match context.id() {
            "outer" => Ok(Loaded::new(Record::clone(
                products.get("inner")?.record().unwrap(),
            ))),
            "itself" => products.get("itself").map(|_| Loaded::new(loaf())),
            _ => Ok(Loaded::new(rye())),
        }
    });
    let products = builder.hard_timeout(SOON).threads(1).build().unwrap();
    *this.lock().unwrap() = Some(products.clone());
    assert_eq!(**products.get("outer").unwrap().record().unwrap(), rye());
    let error = products.get("itself").unwrap_err();
    assert!(
        matches!(error.loader(), Some(Error::Reentrant)),
        "{error:#}"
    );
    this.lock().unwrap().take();
}

fn after_a_shutdown_the_callers_load_themselves(environment: &Environment) {
    let cache = stale(environment);
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.hard_timeout(SOON).build().unwrap();
    assert!(products.get("p-001").unwrap().is_stale());
    gate.next();
    assert!(!products.shutdown(Duration::from_millis(1)), "a load runs");
    gate.end.send(Some(loaf())).unwrap();
    assert!(products.shutdown(SOON));
    assert_eq!(products.get("p-001").unwrap().source(), Source::Hit);

    cache.expire("p-001").unwrap();
    gate.end.send(Some(rye())).unwrap();
    let refreshed = products.get("p-001").unwrap();
    assert_eq!(refreshed.source(), Source::Refreshed);
    gate.end.send(Some(rye())).unwrap();
    assert_eq!(products.get("p-002").unwrap().source(), Source::Loaded);
    let threads: Vec<_> = [gate.next(), gate.next()].into();
    assert!(
        threads.iter().all(|load| !load.contains("cache-aside")),
        "{threads:?}"
    );
}

fn the_drop_waits_for_no_load(environment: &Environment) {
    let cache = stale(environment);
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.build().unwrap();
    assert!(products.get("p-001").unwrap().is_stale());
    gate.next();
    drop(products);
    gate.end.send(Some(rye())).unwrap();
    until(|| !environment.is_held("p-001"));
    assert_eq!(cache.get("p-001", load_loaf).unwrap().source(), Source::Hit);
}

fn records_are_loaded_ahead_and_each_batch_is_reported(environment: &Environment) {
    let cache = cache(environment);
    let products = cache.loading(|id| match id {
        "7" => Err("no connection"),
        "8" => Ok(None),
        _ => Ok(Some(loaf())),
    });
    products.get(1).unwrap();
    let mut reports = Vec::new();
    let all = products.preload_with_progress(1..=250, |so_far| reports.push(so_far.done));
    let all = all.unwrap();
    assert_eq!(reports, [100, 200, 250]);
    assert_eq!(
        (all.total, all.done, all.loaded, all.failed),
        (250, 250, 248, 1)
    );
    assert!(matches!(all.first_error, Some(Error::Loader(_))));
    assert_eq!(products.get(250).unwrap().source(), Source::Hit);
    assert!(matches!(
        products.preload(["", "a"]),
        Err(Error::InvalidId { .. })
    ));
    assert!(cache.peek("a").unwrap().is_none());
}

/// A loader that says that nothing has changed, and records what it has seen.
fn unchanged_loader(cache: &Cache) -> (LoadingCache, Receiver<Option<Record>>) {
    let (seen, all) = mpsc::channel();
    let builder = LoadingCache::builder_with_cached(cache, move |_, cached: Option<&Record>| {
        seen.send(cached.cloned()).unwrap();
        Ok::<_, Infallible>(match cached {
            Some(_) => Loaded::unchanged(),
            None => Loaded::new(loaf()),
        })
    });
    (builder.build().unwrap(), all)
}

fn a_record_that_has_not_changed_has_its_ttl_again(environment: &Environment) {
    let cache = cache(environment);
    let (products, seen) = unchanged_loader(&cache);
    assert_eq!(products.get("p-001").unwrap().source(), Source::Loaded);
    assert_eq!(seen.recv_timeout(SOON).unwrap(), None);
    // A field that the loader does not know. A fill would remove it.
    assert!(cache.update_field("p-001", "note", "of others").unwrap());
    assert!(cache.expire("p-001").unwrap());
    assert!(products.get("p-001").unwrap().is_stale());
    until(|| products.get("p-001").unwrap().source() == Source::Hit);
    let record = products.get("p-001").unwrap().into_record().unwrap();
    assert_eq!(record.get("note"), Some("of others"));
    assert_eq!(seen.recv_timeout(SOON).unwrap().as_ref(), Some(&*record));
    assert!(!environment.is_held("p-001"));
    assert_eq!((cache.stats().loads, cache.stats().refused_fills), (2, 0));
    let left = cache.ttl_remaining("p-001").unwrap().left().unwrap();
    assert!(left > LONG && left <= LONG + cache.ttl());
}

fn a_loader_that_has_seen_no_record_can_not_say_that_it_has_not_changed(environment: &Environment) {
    let cache = cache(environment);
    let load = || Ok::<_, Infallible>(Loaded::unchanged());
    let options = || cache.options();
    let products = cache.loading_with_context(move |_| load());
    for found in [
        products.get("p-001"),
        options().get("p-001", |_| load()),
        options().skip_cache(true).get("p-001", |_| load()),
    ] {
        let error = found.unwrap_err();
        assert!(matches!(error, Error::Loader(_)));
        assert!(format!("{error:#}").contains("had got no cached record"));
    }
    assert!(!environment.is_held("p-001"));
}

fn an_update_during_the_load_is_not_kept_from_expiring(environment: &Environment) {
    let cache = stale(environment);
    let other = cache.clone();
    let builder = LoadingCache::builder_with_cached(&cache, move |_, _| {
        assert!(other.update_field("p-001", "stock", "7").unwrap());
        assert!(other.expire("p-001").unwrap());
        Ok::<_, Infallible>(Loaded::unchanged())
    });
    let products = builder.build().unwrap();
    assert!(products.get("p-001").unwrap().is_stale());
    until(|| cache.stats().refused_fills == 1);
    assert!(products.shutdown(SOON));
    let found = cache.peek("p-001").unwrap().unwrap();
    assert!(found.is_stale());
    assert_eq!(found.record().unwrap().get("stock"), Some("7"));
}

/// A store on which the record is updated in place right before a request to refresh it.
struct Updated {
    store: Arc<dyn Store>,
    by: Cache,
}

impl Store for Updated {
    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        assert!(self.by.update_field("p-001", "stock", "7").unwrap());
        self.store.refresh(keys, token, lease_ttl, left)
    }

    delegate! { store: read read_with_ttl acquire fill keep release back_off renew invalidate expire guard unguard update ttl ping }
}

/// The model finds what would happen otherwise: `a_record_that_was_seen_before_the_lease…`.
fn an_update_between_the_read_and_the_lease_is_what_the_loader_sees(environment: &Environment) {
    stale(environment);
    // The update leaves the TTL, so the request for the lease does not notice it.
    let by = environment.patient_builder().grace(LONG);
    let updated = Updated {
        store: Arc::clone(environment.store()),
        by: by.keep_ttl_on_update(true).build().unwrap(),
    };
    let builder = Cache::builder(Backend::new(Arc::new(updated))).prefix("test:");
    let cache: Cache = builder.grace(LONG).build().unwrap();
    let (products, seen) = unchanged_loader(&cache);
    let served = products.get("p-001").unwrap();
    assert_ne!(served.record().unwrap().get("stock"), Some("7"));
    let seen = seen.recv_timeout(SOON).unwrap().unwrap();
    assert_eq!(seen.get("stock"), Some("7"));
    until(|| products.get("p-001").unwrap().source() == Source::Hit);
    assert_eq!(**products.get("p-001").unwrap().record().unwrap(), seen);
}

/// Otherwise a queue of lookups without a record would keep it stale until the end of its grace.
fn a_reload_waits_for_its_turn_beside_lookups_without_a_record(environment: &Environment) {
    let builder = environment.patient_builder().grace(LONG).max_loads(1);
    let cache: Cache = builder.build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.expire("p-001").unwrap());
    let (gate, builder) = Gate::builder(&cache);
    let products = builder.hard_timeout(SOON).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| products.get("p-002").unwrap());
        gate.next();
        assert!(products.get("p-001").unwrap().is_stale());
        thread::sleep(Duration::from_millis(200)); // until the reload waits
        scope.spawn(|| products.get("p-003").unwrap());
        until(|| cache.stats().misses == 3);
        gate.end.send(Some(loaf())).unwrap();
        assert!(gate.next().starts_with("p-001 "));
        gate.end.send(Some(rye())).unwrap();
        assert!(gate.next().starts_with("p-003 "));
        gate.end.send(Some(loaf())).unwrap();
    });
    // The reload has given its permit back, and fills on its thread.
    until(|| products.get("p-001").unwrap().source() == Source::Hit);
}

/// No loader runs on a thread, so there is nothing to wait for.
fn a_shutdown_does_not_wait_for_a_reload_that_waits_for_its_turn(environment: &Environment) {
    let builder = environment.patient_builder().grace(LONG).max_loads(1);
    let cache: Cache = builder.wait_timeout(LONG).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.expire("p-001").unwrap());
    let products = cache.loading(load_loaf);
    let (is_loading, (end, ended)) = (Barrier::new(2), mpsc::channel::<()>());
    thread::scope(|scope| {
        let (cache, is_loading) = (&cache, &is_loading);
        scope.spawn(move || {
            cache.get("p-002", |id| {
                is_loading.wait();
                let _ = ended.recv();
                load_loaf(id)
            })
        });
        is_loading.wait();
        assert!(products.get("p-001").unwrap().is_stale());
        thread::sleep(Duration::from_millis(200)); // until the reload waits
        let has_stopped = products.shutdown(SOON);
        drop(end);
        assert!(has_stopped);
    });
}

/// It would wait for itself.
fn a_shutdown_within_a_loader_does_not_wait(environment: &Environment) {
    let cache = cache(environment);
    let this: Arc<Mutex<Option<LoadingCache>>> = Arc::default();
    let inner = Arc::clone(&this);
    let builder = LoadingCache::builder(&cache, move |id| {
        let products = inner.lock().unwrap().take().unwrap();
        assert!(!products.shutdown(Duration::MAX));
        load_loaf(id)
    });
    let products = builder.hard_timeout(SOON).build().unwrap();
    *this.lock().unwrap() = Some(products.clone());
    assert_eq!(products.get("p-001").unwrap().source(), Source::Loaded);
    assert!(products.shutdown(SOON));
}

/// The only thread is that of the loader that asks.
fn a_loader_waits_for_no_reload(environment: &Environment) {
    let cache = cache(environment);
    let this: Arc<Mutex<Option<LoadingCache>>> = Arc::default();
    let inner = Arc::clone(&this);
    let builder = LoadingCache::builder(&cache, move |id: &str| {
        if id == "outer" {
            let products = inner.lock().unwrap().take().unwrap();
            assert!(products.get("inner")?.is_stale());
        }
        Ok::<_, Error>(Some(rye()))
    });
    for id in ["outer", "inner"] {
        cache.get(id, load_loaf).unwrap();
        assert!(cache.expire(id).unwrap());
    }
    let products = builder.soft_timeout(SOON).threads(1).build().unwrap();
    *this.lock().unwrap() = Some(products.clone());
    let began = Instant::now();
    let found = products.get("outer").unwrap();
    assert_eq!(found.source(), Source::Refreshed);
    assert!(began.elapsed() < SOON / 2);
    assert!(products.shutdown(SOON));
}

on_both_stores! {
    a_shutdown_does_not_wait_for_a_reload_that_waits_for_its_turn,
    a_shutdown_within_a_loader_does_not_wait,
    a_loader_waits_for_no_reload,
    a_stale_record_is_returned_at_once_and_reloaded_on_a_thread,
    of_all_processes_that_find_a_record_stale_one_reloads_it,
    a_refresh_that_fails_or_panics_leaves_the_record_and_is_counted,
    a_caller_waits_for_a_fresh_record_for_the_soft_timeout,
    an_error_of_the_reload_reaches_a_caller_that_waits_for_it,
    a_caller_that_waits_for_an_earlier_reload_gets_nothing_from_before_an_invalidation,
    a_caller_gets_an_error_after_the_hard_timeout_and_the_load_goes_on,
    a_load_within_the_hard_timeout_answers_as_any_load,
    thousands_of_timeouts_leave_no_thread_and_no_lease,
    no_lease_waits_for_a_thread,
    a_loader_that_reads_its_own_cache_needs_no_second_thread,
    after_a_shutdown_the_callers_load_themselves,
    the_drop_waits_for_no_load,
    a_reload_waits_for_its_turn_beside_lookups_without_a_record,
    records_are_loaded_ahead_and_each_batch_is_reported,
    a_record_that_has_not_changed_has_its_ttl_again,
    a_loader_that_has_seen_no_record_can_not_say_that_it_has_not_changed,
    an_update_during_the_load_is_not_kept_from_expiring,
    an_update_between_the_read_and_the_lease_is_what_the_loader_sees,
}
