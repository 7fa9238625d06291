//! A record that was read before an invalidation does not enter after it.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Error, Memory, Record, Source, TtlRemaining,
    store::{ChangeListener, Entry, Failure, Store, Subscription},
};

use super::{MS, get, load, near, warm};
use crate::delegate::delegate;

/// The store in memory, whose next reply to a read the test can delay.
struct Slow {
    within: Arc<dyn Store>,
    /// Signals that it has read, and waits until it may answer.
    next: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    /// Whether it pushes changes.
    tells: bool,
}

impl Store for Slow {
    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let read = self.within.read_with_ttl(data);
        let next = self.next.lock().unwrap().take();
        if let Some((has_read, let_go)) = next {
            has_read.send(()).unwrap();
            let_go.recv_timeout(MS(20_000)).unwrap();
        }
        read
    }

    fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        self.tells
            .then(|| self.within.track(prefix, bound, listener))?
    }

    delegate! { within: read acquire refresh fill release back_off renew invalidate expire guard unguard update ttl }
}

fn slow(memory: &Memory, tells: bool) -> Arc<Slow> {
    Arc::new(Slow {
        within: memory.store(),
        next: Mutex::default(),
        tells,
    })
}

/// Reader: reads (old); `meanwhile`; reader: gets its reply. Returns what is near afterwards.
fn after_a_read_during(meanwhile: impl Fn(&Cache, &Cache)) -> (u64, Source) {
    let memory = Memory::new(100);
    let store = slow(&memory, true);
    let cache = near(Backend::new(Arc::clone(&store) as _));
    // Another client: the listener hears of it, but no sibling cache.
    let other: Cache = Cache::builder(&memory).prefix("test:").build().unwrap();
    cache.get("k", load(1)).unwrap();
    let (has_read, was_read) = mpsc::channel();
    let (let_go, may_go) = mpsc::channel();
    *store.next.lock().unwrap() = Some((has_read, may_go));
    thread::scope(|scope| {
        let reader = scope.spawn(|| get(&cache, 9));
        was_read.recv_timeout(MS(20_000)).unwrap();
        meanwhile(&cache, &other);
        let_go.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), (1, Source::Hit), "it began before");
    });
    get(&cache, 2)
}

#[test]
fn what_was_read_before_an_invalidation_does_not_enter_after_it() {
    assert_eq!(
        after_a_read_during(|_, _| {}),
        (1, Source::Near),
        "else it does"
    );
    let own = after_a_read_during(|cache, _| drop(cache.invalidate("k")));
    assert_eq!(own, (2, Source::Loaded));
    let others = after_a_read_during(|_, other| drop(other.invalidate("k")));
    assert_eq!(others, (2, Source::Loaded));
}

#[test]
fn what_was_read_before_a_write_or_an_update_does_not_enter_after_it() {
    let write = |cache: &Cache| drop(cache.write("k", || Ok::<_, Infallible>(())));
    assert_eq!(
        after_a_read_during(|cache, _| write(cache)),
        (2, Source::Loaded)
    );
    assert_eq!(
        after_a_read_during(|_, other| write(other)),
        (2, Source::Loaded)
    );
    let update = |cache: &Cache| drop(cache.update_field("k", "version", "3"));
    assert_eq!(
        after_a_read_during(|cache, _| update(cache)),
        (3, Source::Hit)
    );
    assert_eq!(
        after_a_read_during(|_, other| update(other)),
        (3, Source::Hit)
    );
}

/// Reader: reads (old); writer: ends it; another reader loads the new record, and reads it; reader:
/// gets its reply.
#[test]
fn nor_in_the_place_of_what_came_after_it() {
    let newer = after_a_read_during(|cache, other| {
        other.invalidate("k").unwrap();
        warm(cache, 2);
    });
    assert_eq!(newer, (2, Source::Near));
}

#[test]
fn a_store_that_does_not_tell_what_changes_is_refused() {
    let store = slow(&Memory::new(100), false);
    let refusal = |near: bool| {
        let cache = Cache::<Record>::builder(Backend::new(Arc::clone(&store) as _)).prefix("test:");
        let cache = if near {
            cache.near_cache(10)
        } else {
            cache.tracking(true)
        };
        let error = cache.build().unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }));
        error.to_string()
    };
    let why = "this store does not push its changes";
    assert_eq!(refusal(true), format!("setting `near_cache`: {why}"));
    assert_eq!(refusal(false), format!("setting `tracking`: {why}"));
}
