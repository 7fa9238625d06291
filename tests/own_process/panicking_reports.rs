//! A logger, a metrics recorder or an observer that panics. The process lives, each call returns
//! what it would return otherwise, and what has to be invalidated is still remembered.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Event, Memory, Record, Source,
    store::{
        BatchResult, Change, ChangeListener, Cursor, Failure, FailureKind, KeyKind, Keys, NewTtl,
        ScanPage, Store, Subscription, Token, Update,
    },
};

use crate::{
    delegate::delegate,
    support::{until, until_recovered},
};

/// While this is set, what the test has installed panics.
static ARMED: AtomicBool = AtomicBool::new(false);

/// What it has reported by a panic.
static PANICS: AtomicU32 = AtomicU32::new(0);

fn panic_if_armed() {
    if ARMED.load(SeqCst) {
        PANICS.fetch_add(1, SeqCst);
        panic!("the reporting's own");
    }
}

/// A logger that panics at each line, and at each span.
#[cfg(feature = "tracing")]
mod logger {
    use tracing::{
        Event, Id, Subscriber,
        span::{Attributes, Record},
    };
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    struct Panics;

    impl<S: Subscriber> Layer<S> for Panics {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            super::panic_if_armed();
        }

        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            super::panic_if_armed();
        }

        fn on_record(&self, _: &Id, _: &Record<'_>, _: Context<'_, S>) {
            super::panic_if_armed();
        }

        fn on_exit(&self, _: &Id, _: Context<'_, S>) {
            super::panic_if_armed();
        }

        fn on_close(&self, _: Id, _: Context<'_, S>) {
            super::panic_if_armed();
        }
    }

    pub(super) fn install() {
        tracing::subscriber::set_global_default(registry().with(Panics)).unwrap();
    }
}

/// A logger that panics at each line.
#[cfg(not(feature = "tracing"))]
mod logger {
    use log::{LevelFilter, Log, Metadata, Record};

    struct Panics;

    impl Log for Panics {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, _: &Record<'_>) {
            super::panic_if_armed();
        }

        fn flush(&self) {}
    }

    pub(super) fn install() {
        log::set_logger(&Panics).unwrap();
        log::set_max_level(LevelFilter::Info);
    }
}

/// A recorder that panics at each metric.
#[cfg(feature = "metrics")]
mod recorder {
    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    struct Panics;

    impl Recorder for Panics {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            super::panic_if_armed();
        }

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            super::panic_if_armed();
        }

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            super::panic_if_armed();
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            super::panic_if_armed();
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            super::panic_if_armed();
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            super::panic_if_armed();
            Histogram::noop()
        }
    }

    pub(super) fn install() {
        metrics::set_global_recorder(Panics).unwrap();
    }
}

/// How a step that ends a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Fails,
    Panics,
}

/// The store in memory. While it is broken, each step that ends a record fails or panics.
struct Fragile {
    within: Arc<dyn Store>,
    is_broken: AtomicBool,
    step: Step,
}

impl Fragile {
    fn end<T>(&self, step: impl FnOnce(&dyn Store) -> Result<T, Failure>) -> Result<T, Failure> {
        if !self.is_broken.load(SeqCst) {
            return step(&*self.within);
        }
        assert!(self.step == Step::Fails, "the store's own");
        Err(Failure::new(FailureKind::Unavailable, "it is down"))
    }
}

impl Store for Fragile {
    delegate!(within: read read_with_ttl acquire refresh fill release back_off renew ttl);

    fn ping(&self) -> Result<(), Failure> {
        self.end(|store| store.ping())
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.end(|store| store.invalidate(keys))
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        self.end(|store| store.invalidate_all(all))
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.within.scan(prefix, kind, cursor)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.end(|store| store.expire(keys, stay))
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.end(|store| store.guard(keys, writer, guard_ttl))
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.end(|store| store.unguard(keys, writer))
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.end(|store| store.update(keys, ttl, change))
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        self.within.track(prefix, bound, listener)
    }
}

const IDS: [&str; 3] = ["x", "y", "z"];

/// A call, and the number of invalidations that it leaves pending, where that is fixed.
type Call = (&'static str, fn(&Cache), Option<u64>);

const CALLS: [Call; 8] = [
    ("invalidate", |cache| drop(cache.invalidate("x")), Some(1)),
    (
        "invalidate_many",
        |cache| drop(cache.invalidate_many(IDS)),
        Some(3),
    ),
    ("expire", |cache| drop(cache.expire("x")), Some(1)),
    ("expire_many", |cache| drop(cache.expire_many(IDS)), Some(3)),
    (
        "write",
        |cache| drop(cache.write("x", || Ok::<_, Infallible>(()))),
        Some(1),
    ),
    (
        "update_field",
        |cache| drop(cache.update_field("x", "version", "2")),
        Some(1),
    ),
    (
        "update",
        |cache| drop(cache.update("x", |_| Some(Record::from([("version", "2")])))),
        Some(1),
    ),
    ("clear", |cache| drop(cache.clear()), None),
];

fn survive(step: Step, (name, call, pending): Call) {
    ARMED.store(false, SeqCst);
    let store = Arc::new(Fragile {
        within: Memory::new(1_000).store(),
        is_broken: AtomicBool::new(false),
        step,
    });
    let [opened, closed] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let heard = [Arc::clone(&opened), Arc::clone(&closed)];
    let observer = move |_: &str, event: &Event<'_>| {
        match event {
            Event::BreakerOpened { .. } => heard[0].fetch_add(1, SeqCst),
            Event::BreakerClosed => heard[1].fetch_add(1, SeqCst),
            _ => 0,
        };
        // Else it would panic in the tests of the logger and of the recorder, too.
        if OBSERVES.load(SeqCst) {
            panic_if_armed();
        }
    };
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:");
    let builder = builder.grace(Duration::from_secs(60)).observer(observer);
    let cache: Cache = builder.build().unwrap();
    let primary = AtomicU32::new(1);
    let read = |id: &str| {
        let version = primary.load(SeqCst).to_string();
        let row = Record::from([("version", version)]);
        let found = cache.get(id, |_| Ok::<_, Infallible>(Some(row))).unwrap();
        let version = found.record().unwrap().get("version").unwrap().to_owned();
        (version, found.source())
    };
    for id in IDS {
        read(id);
    }
    primary.store(2, SeqCst);
    store.is_broken.store(true, SeqCst);
    ARMED.store(true, SeqCst);
    PANICS.store(0, SeqCst);
    let is_caught = catch_unwind(AssertUnwindSafe(|| call(&cache))).is_err();
    assert_eq!(is_caught, step == Step::Panics, "{name}, {step:?}");
    assert!(PANICS.load(SeqCst) > 0, "{name}: nothing was reported");
    if let Some(pending) = pending {
        let stats = cache.stats();
        assert_eq!(stats.invalidations_pending, pending, "{name}, {step:?}");
        assert_eq!(stats.invalidations_remembered, pending, "{name}, {step:?}");
    }
    assert_eq!(read("x"), ("2".to_owned(), Source::Degraded), "{name}");
    // A loader's panic drops what is open, and that is reported too.
    let load = |_: &str| -> Result<Option<Record>, Infallible> { panic!("the loader's own") };
    assert!(catch_unwind(AssertUnwindSafe(|| cache.get("new", load))).is_err());

    store.is_broken.store(false, SeqCst);
    until_recovered(&cache);
    if pending.is_some() {
        until(|| {
            let (version, source) = read("x");
            assert_eq!(version, "2", "{name}, {step:?}");
            source == Source::Hit
        });
    } else {
        cache.clear().unwrap();
        assert_eq!(read("x"), ("2".to_owned(), Source::Loaded));
    }
    if step == Step::Fails {
        // Each opening of the breaker is reported, after one whose reports have panicked too.
        for times in 1..=2 {
            store.is_broken.store(true, SeqCst);
            while !cache.stats().breaker_open {
                assert!(cache.invalidate("x").is_err());
            }
            until(|| opened.load(SeqCst) == times);
            store.is_broken.store(false, SeqCst);
            until(|| closed.load(SeqCst) == times);
        }
    }
    ARMED.store(false, SeqCst);
}

/// Whether the observer is what panics.
static OBSERVES: AtomicBool = AtomicBool::new(false);

fn survive_each_call() {
    for step in [Step::Fails, Step::Panics] {
        for call in CALLS {
            survive(step, call);
        }
    }
}

#[test]
fn a_logger_that_panics_ends_no_process_and_loses_no_invalidation() {
    own_process!();
    logger::install();
    survive_each_call();
}

#[cfg(feature = "metrics")]
#[test]
fn a_recorder_that_panics_ends_no_process_and_loses_no_invalidation() {
    own_process!();
    recorder::install();
    survive_each_call();
}

#[test]
fn an_observer_that_panics_ends_no_process_and_loses_no_invalidation() {
    own_process!();
    OBSERVES.store(true, SeqCst);
    survive_each_call();
}
