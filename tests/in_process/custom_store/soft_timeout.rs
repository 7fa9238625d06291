//! A caller that waits for a refresh of another caller gets no record from before its own lookup.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, LoadingCache, Memory, Record, TtlRemaining,
    store::{Acquire, Entry, Failure, Fields, Floor, Keys, Recheck, Refresh, Store, Token},
};

use crate::delegate::delegate;

const SECOND: Duration = Duration::from_secs(1);
/// TTL and grace.
const HALF: Duration = Duration::from_secs(30);

/// Two threads meet here twice: one arrives, and later the other lets it go on.
struct Stop {
    arrived: Barrier,
    may_go: Barrier,
}

impl Stop {
    fn new() -> Stop {
        Stop {
            arrived: Barrier::new(2),
            may_go: Barrier::new(2),
        }
    }

    fn here(&self) {
        self.arrived.wait();
        self.may_go.wait();
    }
}

/// Stops the first lookup after its read, the second before its read, and the refresh.
struct Stopped {
    within: Arc<dyn Store>,
    reads: AtomicU32,
    first: Stop,
    second: Stop,
    refresh: Stop,
}

impl Store for Stopped {
    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        match self.reads.fetch_add(1, SeqCst) {
            0 => {
                let found = self.within.read_with_ttl(data);
                self.first.here();
                found
            }
            1 => {
                self.second.here();
                self.within.read_with_ttl(data)
            }
            _ => self.within.read_with_ttl(data),
        }
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.refresh.here();
        self.within.refresh(keys, token, lease_ttl, left)
    }

    delegate!(within: read acquire fill release back_off renew invalidate expire guard unguard update ttl ping);
}

fn put(store: &dyn Store, keys: &Keys, version: &str, ttl: Duration) {
    let token = Token::random();
    let acquired = store.acquire(keys, token, SECOND, Recheck::Never).unwrap();
    assert_eq!(acquired, Acquire::Acquired(Floor::None));
    let fields: Fields = vec![("version".into(), version.into())];
    assert!(store.fill(keys, token, ttl, &fields).unwrap());
}

/// First: reads version 1, whose age is unknown — a writer invalidates it — others: version 2, which
/// is stale, and a lease — second: begins — first: starts a refresh — second: reads version 2, and
/// waits for that refresh — the refresh: the lease is taken, so the first has version 1.
#[test]
fn a_refresh_that_loads_nothing_passes_no_record_on() {
    let store = Arc::new(Stopped {
        within: Memory::new(100).store(),
        reads: AtomicU32::new(0),
        first: Stop::new(),
        second: Stop::new(),
        refresh: Stop::new(),
    });
    let keys = Keys::of("test:1".to_owned());
    let within = Arc::clone(&store.within);
    put(&*within, &keys, "1", 10 * HALF);
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:").ttl(HALF);
    let cache: Cache = builder.grace(HALF).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("version", "3")])));
    let loading = LoadingCache::builder(&cache, load).soft_timeout(20 * SECOND);
    let loading = loading.build().unwrap();
    let found = thread::scope(|scope| {
        scope.spawn(|| loading.get(1).unwrap());
        store.first.arrived.wait();
        cache.invalidate(1).unwrap();
        put(&*within, &keys, "2", HALF / 3);
        let lease = within.acquire(&keys, Token::random(), 20 * SECOND, Recheck::Never);
        let second = scope.spawn(|| loading.get(1).unwrap());
        store.second.arrived.wait();
        store.first.may_go.wait();
        store.refresh.arrived.wait();
        store.second.may_go.wait();
        thread::sleep(SECOND / 20); // until it waits
        store.refresh.may_go.wait();
        assert_eq!(lease.unwrap(), Acquire::Acquired(Floor::None));
        second.join().unwrap()
    });
    assert_eq!(found.record().unwrap()["version"], *"2");
}
