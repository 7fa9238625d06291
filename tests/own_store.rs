//! A store of one's own, with its own ways to fail.

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Event, Loaded, Memory, Record, Source, TtlRemaining,
    store::{
        Acquire, Change, Entry, Failure, Fields, Keys, NewTtl, Refresh, Store, Symptom, Token,
        Update,
    },
};
use support::{load_loaf, until};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The store in memory, with faults.
struct Faulty {
    within: Arc<dyn Store>,
    /// Nothing is invalidated.
    refuses: AtomicBool,
    /// Nothing is answered.
    silent: AtomicBool,
    /// The next ping or renewal panics.
    panics: AtomicBool,
    /// The reply to the next refresh is lost.
    loses: AtomicBool,
}

impl Faulty {
    fn new() -> Arc<Faulty> {
        Arc::new(Faulty {
            within: Memory::new(100_000).store(),
            refuses: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            loses: AtomicBool::new(false),
        })
    }

    fn answer(&self) -> Result<(), Failure> {
        if self.silent.load(SeqCst) {
            return Err(Failure::new(Symptom::Silent, "no answer"));
        }
        Ok(())
    }

    fn panic_once(&self) {
        assert!(!self.panics.swap(false, SeqCst), "the store's own");
    }
}

impl Store for Faulty {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.answer()?;
        self.within.read(data)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Failure> {
        self.answer()?;
        self.within.acquire(keys, token, lease_ttl, look)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.answer()?;
        self.within.fill(keys, token, ttl, record)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.answer()?;
        self.within.read_with_ttl(data)
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.answer()?;
        let done = self.within.refresh(keys, token, lease_ttl, left);
        if self.loses.swap(false, SeqCst) {
            return Err(Failure::new(Symptom::Silent, "no answer"));
        }
        done
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.back_off(keys, token, pause)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.expire(keys, stay)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.answer()?;
        self.within.release(keys, token)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.panic_once();
        self.answer()?;
        self.within.renew(keys, token, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.answer()?;
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(Symptom::Refused, "not today"));
        }
        self.within.invalidate(keys)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.guard(keys, writer, guard_ttl)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.answer()?;
        self.within.unguard(keys, writer)
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        self.answer()?;
        self.within.update_field(keys, field, value, ttl)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.answer()?;
        self.within.update(keys, ttl, change)
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.answer()?;
        self.within.ttl(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.panic_once();
        self.answer()
    }
}

fn backend(store: &Arc<Faulty>) -> Backend {
    Backend::new(Arc::clone(store) as Arc<dyn Store>)
}

/// A cache whose entries are gone soon.
fn brief(backend: &Backend) -> Cache {
    let builder = Cache::builder(backend).prefix("test:").ttl(MS(50));
    let builder = builder.lease_ttl(MS(50)).max_load_time(MS(200));
    builder.build().unwrap()
}

/// More than can be remembered one by one.
fn overflow(cache: &Cache) {
    for id in 0..10_000 {
        assert!(cache.invalidate(&format!("other {id}")).is_err());
    }
}

fn version(number: &str) -> Record {
    Record::from([("version", number)])
}

fn read(cache: &Cache) -> (Record, Source) {
    let load = |_: &str| Ok::<_, Infallible>(Some(version("new")));
    let found = cache.get("x", load).unwrap();
    let record = Record::clone(found.record().unwrap());
    (record, found.source())
}

/// The entry was written by another cache on this store than the one that could not invalidate it.
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

/// What the loader returns says only then how long it wants to be kept, and the bypass has begun.
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

#[test]
fn a_batch_does_not_read_what_an_invalidation_should_have_ended() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    let load = |version: &'static str| {
        move |ids: &[&str]| {
            let row = |id: &&str| ((*id).to_owned(), self::version(version));
            Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
        }
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let writer: Cache = builder.build().unwrap();
    writer.get_many(["a", "b"], load("old")).unwrap();
    store.refuses.store(true, SeqCst);
    assert!(writer.invalidate_many(["a", "c"]).is_err());
    let found = writer.get_many(["a", "b"], load("new")).unwrap();
    assert_eq!(**found[0].record().unwrap(), version("new"));
    assert_eq!(found[0].source(), Source::Degraded);
    assert!(found[1].is_hit());
    // Of a store that cannot go through its records nothing is left to be read.
    assert!(cache.clear(|_| {}).is_err());
    let found = cache.get_many(["a", "b"], load("newer")).unwrap();
    assert!(found.iter().all(|found| found.source() == Source::Degraded));
}

#[test]
fn a_store_that_is_silent_in_a_batch_is_asked_once() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    store.silent.store(true, SeqCst);
    let ids: Vec<_> = (0..100).map(|id| id.to_string()).collect();
    let load = |ids: &[&str]| {
        let row = |id: &&str| ((*id).to_owned(), version("1"));
        Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
    };
    cache.get_many(&ids, load).unwrap();
    let stats = cache.stats();
    assert_eq!((stats.redis_errors, stats.loads), (1, 1));
    assert!(!stats.breaker_open, "one failure");
}

#[test]
fn a_store_that_panics_when_it_is_probed_is_probed_again() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    store.panics.store(true, SeqCst);
    store.silent.store(false, SeqCst);
    until(|| !cache.stats().breaker_open);
    assert!(!store.panics.load(SeqCst), "it was probed, and panicked");
}

#[test]
fn a_store_that_panics_when_it_renews_is_asked_to_renew_again() {
    let store = Faulty::new();
    let lease = MS(300);
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.lease_ttl(lease).build().unwrap();
    for id in ["a", "b"] {
        let panics = id == "a";
        store.panics.store(panics, SeqCst);
        let load = |id: &str| {
            until(|| !store.panics.load(SeqCst));
            thread::sleep(4 * lease);
            load_loaf(id)
        };
        cache.get(id, load).unwrap();
    }
    // The first may have been lost to a busy machine.
    assert!(cache.get("b", load_loaf).unwrap().is_hit());
}

/// The opening is told by a caller that takes its time; the closing by another thread, and not before.
#[test]
fn a_breaker_is_not_heard_to_close_before_it_opened() {
    let store = Faulty::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (notes, slow) = (Arc::clone(&heard), Arc::clone(&store));
    let observer = move |_: &str, event: &Event<'_>| match event {
        Event::BreakerOpened { .. } => {
            // Time for the mender to find it well.
            slow.silent.store(false, SeqCst);
            thread::sleep(MS(300));
            notes.lock().unwrap().push("opened");
        }
        Event::BreakerClosed => notes.lock().unwrap().push("closed"),
        _ => {}
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.observer(observer).build().unwrap();
    // The mender is at work before the breaker opens.
    store.silent.store(true, SeqCst);
    assert!(cache.invalidate("x").is_err());
    for _ in 0..8 {
        cache.get("y", load_loaf).unwrap();
    }
    until(|| heard.lock().unwrap().last() == Some(&"closed"));
    assert_eq!(*heard.lock().unwrap(), ["opened", "closed"]);
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_cache_that_is_built_during_an_outage_hears_of_it() {
    let store = Faulty::new();
    let backend = backend(&store);
    let cache = brief(&backend);
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let observer = move |_: &str, event: &Event<'_>| {
        let is_opened = matches!(event, Event::BreakerOpened { .. });
        notes.lock().unwrap().push(is_opened);
    };
    let builder = Cache::builder(&backend).prefix("later:");
    let _later: Cache = builder.observer(observer).build().unwrap();
    assert_eq!(*heard.lock().unwrap(), [true]);
}

/// On a thread of the cache's own, which would wait for itself.
#[test]
fn an_observer_may_drop_the_last_cache() {
    let store = Faulty::new();
    let kept: Arc<Mutex<Option<Cache>>> = Arc::default();
    let last = Arc::clone(&kept);
    let (done, was_done) = mpsc::channel();
    let observer = move |_: &str, event: &Event<'_>| {
        if let Event::BreakerClosed = event {
            drop(last.lock().unwrap().take());
            done.send(()).unwrap();
        }
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.observer(observer).build().unwrap();
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    *kept.lock().unwrap() = Some(cache);
    store.silent.store(false, SeqCst);
    was_done.recv_timeout(MS(20_000)).unwrap();
}

/// It may have got the lease, and gives that back; nobody waits for it.
#[test]
fn a_refresh_whose_reply_is_lost_serves_the_stale_record_and_leaves_no_lease() {
    let store = Faulty::new();
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let lasting = Duration::from_secs(600);
    let builder = builder.grace(lasting).lease_ttl(lasting);
    let cache: Cache = builder.max_load_time(lasting).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    cache.expire("p-001").unwrap();

    store.loses.store(true, SeqCst);
    let served = cache.get("p-001", load_loaf).unwrap();
    assert!(served.is_stale() && served.refresh_failed_by().is_none());
    assert_eq!(cache.stats().redis_errors, 1);
    until(|| cache.get("p-001", load_loaf).unwrap().source() == Source::Refreshed);
}
