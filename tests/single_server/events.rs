//! The events that an observer receives.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{Server, chain, load_loaf, load_nothing, until};
use cache_aside::{Cache, Event, Memory, Record, Redis};

/// The received events, as text.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, cache: &str, event: &Event<'_>) {
        assert_eq!(cache, "test:");
        let words = match event {
            Event::Missed { id, reason } => format!("{id} missed: {}", reason.name()),
            Event::LoadBegan { id } => format!("{id} load began"),
            Event::LoadEnded { id, outcome, .. } => format!("{id} load ended: {}", outcome.name()),
            Event::Degraded { id, .. } => format!("{id} degraded"),
            Event::Answered {
                id, source, found, ..
            } => format!("{id} answered: {source}, {found}"),
            Event::Failed { id, error, .. } => format!("{id} failed: {}", chain(*error)),
            Event::Shared { id } => format!("{id} shared"),
            Event::FillRefused { id } => format!("{id} fill refused"),
            Event::Unstorable { id, field, .. } => format!("{id} unstorable: {field:?}"),
            Event::Unreadable { id } => format!("{id} unreadable"),
            Event::OtherSchema { id } => format!("{id} of another schema"),
            Event::Wrote { id, call, .. } => format!("{id} wrote: {}", call.name()),
            Event::StoreFailed { request, .. } => format!("store failed at {request}"),
            Event::InvalidationRemembered { id, is_new } => {
                format!("{id} remembered, new: {is_new}")
            }
            Event::InvalidationReplayed => "replayed".to_owned(),
            Event::InvalidationsLost { count } => format!("lost: {count}"),
            Event::Bypassed { .. } => "bypassed".to_owned(),
            Event::BreakerOpened { .. } => "breaker opened".to_owned(),
            Event::BreakerClosed => "breaker closed".to_owned(),
            _ => panic!("an event without words: {event:?}"),
        };
        self.0.lock().unwrap().push(words);
    }

    fn observer(&self) -> impl Fn(&str, &Event<'_>) + Send + Sync + 'static {
        let heard = self.clone();
        move |cache, event| heard.note(cache, event)
    }

    /// The events since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn has(&self, words: &str) -> bool {
        self.0.lock().unwrap().iter().any(|heard| heard == words)
    }
}

fn observed() -> (Cache, Heard) {
    let heard = Heard::default();
    let builder = Cache::builder(Memory::new(1_000)).prefix("test:");
    let cache = builder.observer(heard.observer()).build().unwrap();
    (cache, heard)
}

#[test]
fn the_life_of_a_lookup_is_heard_in_order() {
    let (cache, heard) = observed();
    cache.get("a", load_loaf).unwrap();
    assert_eq!(
        heard.take(),
        [
            "a missed: absent",
            "a load began",
            "a load ended: found",
            "a answered: loaded, true"
        ]
    );
    cache.get("a", load_loaf).unwrap();
    assert_eq!(heard.take(), ["a answered: hit, true"]);
    cache.get("b", load_nothing).unwrap();
    assert_eq!(
        heard.take()[2..],
        ["b load ended: not_found", "b answered: loaded, false"]
    );
    let failed = cache.get("b", |_| Err::<Option<Record>, _>(io::Error::other("no")));
    assert!(failed.is_err());
    assert_eq!(
        heard.take()[2..],
        ["b load ended: failed", "b failed: the loader failed: no"]
    );
}

#[test]
fn a_panic_of_the_loader_is_heard() {
    let (cache, heard) = observed();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.get("a", |_| -> Result<Option<Record>, Infallible> {
            panic!("the loader's own")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(heard.take()[2..], ["a load ended: panicked"]);
}

#[test]
fn each_call_that_writes_is_heard_and_a_refused_fill_too() {
    let (cache, heard) = observed();
    cache
        .get("a", |id| {
            cache.invalidate(id).unwrap();
            load_loaf(id)
        })
        .unwrap();
    let all = heard.take();
    assert_eq!(all[2..4], ["a wrote: invalidate", "a load ended: found"]);
    assert_eq!(all[4..], ["a fill refused", "a answered: loaded, true"]);
    let _ = cache.write("a", || Ok::<_, Infallible>(())).unwrap();
    cache.update_field("a", "stock", "1").unwrap();
    cache.update("a", |_| None).unwrap();
    assert_eq!(
        heard.take(),
        ["a wrote: write", "a wrote: update_field", "a wrote: update"]
    );
}

#[test]
fn who_shares_a_load_is_heard() {
    let (cache, heard) = observed();
    std::thread::scope(|scope| {
        cache
            .get("a", |id| {
                scope.spawn(|| cache.get("a", load_nothing).unwrap());
                until(|| cache.stats().misses == 2);
                load_loaf(id)
            })
            .unwrap();
    });
    let all = heard.take();
    // If it was slow to ask for the lease, it found the record.
    assert!(all.contains(&"a shared".to_owned()), "{all:?}");
    assert!(
        all.contains(&"a answered: waited, true".to_owned()),
        "{all:?}"
    );
}

#[test]
fn an_entry_of_another_type_is_heard() {
    let (cache, heard) = observed();
    cache.get("a", load_loaf).unwrap();
    let memory = Memory::new(10);
    let strings: Cache = Cache::builder(&memory).prefix("test:").build().unwrap();
    strings.get("a", load_loaf).unwrap();
    let numbers: Cache<std::collections::BTreeMap<String, u8>> = Cache::builder(&memory)
        .prefix("test:")
        .observer(heard.observer())
        .build()
        .unwrap();
    heard.take();
    numbers
        .get("a", |_| {
            Ok::<_, Infallible>(Some([("n".to_owned(), 1)].into()))
        })
        .unwrap();
    assert_eq!(heard.take()[..2], ["a unreadable", "a missed: unreadable"]);
}

#[test]
fn a_record_that_cannot_be_cached_is_heard_between_its_load_and_its_answer() {
    let (cache, heard) = observed();
    let row = Record::from([("__cache_aside_x", "secret")]);
    cache.get("a", |_| Ok::<_, Infallible>(Some(row))).unwrap();
    assert_eq!(
        heard.take(),
        [
            "a missed: absent",
            "a load began",
            "a load ended: found",
            "a unstorable: None",
            "a answered: loaded, true"
        ]
    );
}

#[test]
fn an_outage_is_heard_from_the_first_failure_to_the_last_replay() {
    let mut server = Server::start();
    let heard = Heard::default();
    let redis = Redis::builder(server.url())
        .breaker_threshold(2)
        .probe_interval(Duration::from_millis(20));
    let builder = Cache::builder(redis).prefix("test:");
    let cache: Cache = builder.observer(heard.observer()).build().unwrap();
    server.kill();
    cache.get("a", load_loaf).unwrap();
    let all = heard.take();
    assert_eq!(
        all,
        [
            "store failed at read",
            "a missed: unanswered",
            "a degraded",
            "a load began",
            "a load ended: found",
            "a answered: degraded, true",
        ]
    );
    assert!(cache.invalidate("a").is_err());
    assert_eq!(
        heard.take(),
        [
            "store failed at invalidate",
            "breaker opened",
            "a remembered, new: true",
            "a wrote: invalidate"
        ]
    );
    assert!(cache.invalidate("a").is_err());
    assert_eq!(
        heard.take(),
        ["a remembered, new: false", "a wrote: invalidate"]
    );
    server.start_again();
    until(|| heard.has("breaker closed"));
    assert_eq!(heard.take(), ["replayed", "breaker closed"]);
}

#[test]
fn an_observer_that_panics_harms_nobody() {
    let builder = Cache::builder(Memory::new(1_000)).prefix("test:");
    let cache: Cache = builder
        .observer(|_: &str, _: &Event<'_>| panic!("the observer's own"))
        .build()
        .unwrap();
    assert!(cache.get("a", load_loaf).unwrap().record().is_some());
    assert!(cache.get("a", load_loaf).unwrap().is_hit());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.get("b", |_| -> Result<Option<Record>, Infallible> {
            panic!("the loader's own")
        })
    }));
    assert!(panicked.is_err());
    assert!(cache.invalidate("a").unwrap());
}
