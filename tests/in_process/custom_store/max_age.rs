//! A caller that accepts no old record never gets one through another caller of its process.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Memory, Source,
    store::{
        Acquire, ChangeListener, Entry, Failure, Fields, Floor, Keys, Recheck, Store, Subscription,
        Token,
    },
};
use serde::{Deserialize, Serialize};

use crate::{delegate::delegate, support::until};

const LONG: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Price {
    cents: u32,
}

fn load(cents: u32) -> impl Fn(&str) -> Result<Option<Price>, Infallible> {
    move |_| Ok(Some(Price { cents }))
}

/// After the first read, other processes put a readable record in the place of the entry, and one
/// of them takes the lease.
struct Replaced {
    within: Arc<dyn Store>,
    has_happened: AtomicBool,
    holder: Mutex<Option<Token>>,
}

fn put(store: &dyn Store, keys: &Keys, name: &str, value: &str) {
    let token = Token::random();
    let acquired = store.acquire(keys, token, LONG, Recheck::Never).unwrap();
    assert_eq!(acquired, Acquire::Acquired(Floor::None));
    let fields: Fields = vec![(name.into(), value.into())];
    assert!(store.fill(keys, token, LONG, &fields).unwrap());
}

impl Store for Replaced {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        let found = self.within.read(data);
        if !self.has_happened.swap(true, SeqCst) {
            let keys = Keys::of(data.to_owned());
            put(&*self.within, &keys, "cents", "1");
            let holder = Token::random();
            self.within.acquire(&keys, holder, LONG, Recheck::Never)?;
            *self.holder.lock().unwrap() = Some(holder);
        }
        found
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.within.acquire(keys, token, lease_ttl, recheck)
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        self.within.track(prefix, bound, listener)
    }

    delegate!(within: read_with_ttl refresh fill release back_off renew invalidate expire guard unguard update ttl ping);
}

/// First: reads an entry that is no record — others: a record, and a lease — first: waits for the
/// lease — second: finds the record too old, and waits with the first — others: the load fails —
/// first: gets the record.
#[test]
fn a_follower_does_not_get_the_record_that_it_found_too_old() {
    let store = Arc::new(Replaced {
        within: Memory::new(100).store(),
        has_happened: AtomicBool::new(false),
        holder: Mutex::default(),
    });
    let keys = Keys::of("test:1".to_owned());
    put(&*store.within, &keys, "is no", "price");
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:").tracking(true);
    let cache: Cache<Price> = builder.build().unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| cache.get(1, load(8)).unwrap());
        until(|| store.holder.lock().unwrap().is_some());
        // Time for the first one to wait, and then for the second to wait with it.
        thread::sleep(Duration::from_millis(50));
        let second = scope.spawn(|| {
            let young = cache.options().max_age(Duration::ZERO);
            young.get(1, load(9)).unwrap()
        });
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(50));
        let holder = store.holder.lock().unwrap().unwrap();
        assert!(store.within.release(&keys, holder).unwrap());
        let second = second.join().unwrap();
        assert_eq!(second.record().unwrap().cents, 9);
        assert_eq!(second.source(), Source::Loaded);
        let first = first.join().unwrap();
        assert!([1, 9].contains(&first.record().unwrap().cents));
    });
}
