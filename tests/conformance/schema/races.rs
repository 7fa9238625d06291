//! Entries of another schema that appear between two requests of a lookup.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, CacheBuilder, Record, Source,
    store::{Acquire, Failure, Keys, Recheck, Refresh, Store, Token},
};

use super::{PAIRS, cache, get, load, others, row};
use crate::{delegate::delegate, environment::Environment, support::until};

const GRACE: Duration = Duration::from_secs(60);

/// A store on which another program fills the record before the next request for a lease.
struct Interrupted {
    store: Arc<dyn Store>,
    other: Mutex<Option<Cache>>,
    /// How many requests for a lease have been answered.
    asked: AtomicU64,
}

/// A cache on such a store. It acts as another process.
fn interrupted(environment: &Environment) -> (CacheBuilder, Arc<Interrupted>) {
    let store = Arc::new(Interrupted {
        store: Arc::clone(environment.store()),
        other: Mutex::new(None),
        asked: AtomicU64::new(0),
    });
    let backend = Backend::new(Arc::<Interrupted>::clone(&store));
    (Cache::builder(backend).prefix("test:"), store)
}

impl Interrupted {
    /// The next request for a lease comes after a fill by this program.
    fn interrupt(&self, other: Cache) {
        *self.other.lock().unwrap() = Some(other);
    }

    fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    fn fill_by_other(&self) {
        let other = self.other.lock().unwrap().take();
        if let Some(other) = other {
            assert_eq!(get(&other, "old"), Source::Loaded);
        }
    }
}

impl Store for Interrupted {
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.fill_by_other();
        let answer = self.store.acquire(keys, token, lease_ttl, recheck);
        self.asked.fetch_add(1, SeqCst);
        answer
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.fill_by_other();
        self.store.refresh(keys, token, lease_ttl, left)
    }

    delegate! { store: read read_with_ttl fill release back_off renew invalidate expire guard unguard update ttl ping }
}

fn a_lookup_whose_second_read_finds_another_schema_loads(environment: &Environment) {
    let (builder, store) = interrupted(environment);
    let new = builder.schema(2).build().unwrap();
    let ways: [fn(&Cache) -> Source; 2] = [
        |new| get(new, "new"),
        |new| {
            let rows = |_: &[&str]| load("new")("r").map(|row| row.map(|row| ("r", row)));
            let found = new.get_many(["r"], rows).unwrap().remove(0);
            assert_eq!(**found.record().unwrap(), row("new"));
            found.source()
        },
    ];
    for (count, look_up) in (1..).zip(ways) {
        let old = cache(environment, Some(1));
        store.interrupt(old.clone());
        assert_eq!(look_up(&new), Source::Loaded);
        // The first request found the entry, the second one got the lease.
        assert_eq!(store.asked(), 2 * count);
        assert_eq!((new.stats().misses, new.stats().loads), (count, count));
        assert!(!environment.is_held("r"));
        assert_eq!(look_up(&new), Source::Hit);
        assert!(old.peek("r").unwrap().is_none());
        new.invalidate("r").unwrap();
    }
}

/// Another program is quicker to reload the record, and another schema cannot read what it fills.
fn a_refresh_that_finds_another_schema_serves_the_record_it_has(environment: &Environment) {
    let (builder, store) = interrupted(environment);
    let new = builder.schema(2).grace(GRACE).build().unwrap();
    let old = environment.builder().schema(1).grace(GRACE);
    let old: Cache = old.build().unwrap();
    get(&new, "new");
    assert!(new.expire("r").unwrap());
    store.interrupt(old);
    let never = |_: &str| -> Result<Option<Record>, &str> { panic!("nobody was to load") };
    let served = new.get("r", never).unwrap();
    assert_eq!(served.source(), Source::Stale);
    assert_eq!(**served.record().unwrap(), row("new"));
    assert_eq!(others(&new), 1);
    assert_eq!(get(&new, "new"), Source::Loaded);
}

fn a_lookup_that_waits_for_a_load_of_another_schema_then_loads_its_own_record(
    environment: &Environment,
) {
    for (filled, finds) in PAIRS {
        let old = cache(environment, filled);
        let (builder, store) = interrupted(environment);
        let new = match finds {
            Some(number) => builder.schema(number),
            None => builder,
        };
        let new = new.build().unwrap();
        let (loading, go_on) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let slow = scope.spawn(|| {
                let found = old.get("r", |id| {
                    loading.wait();
                    go_on.wait();
                    load("old")(id)
                });
                found.unwrap()
            });
            loading.wait();
            let waiter = scope.spawn(|| get(&new, "new"));
            // It has found the lease held.
            until(|| store.asked() > 0);
            go_on.wait();
            assert_eq!(**slow.join().unwrap().record().unwrap(), row("old"));
            assert_eq!(waiter.join().unwrap(), Source::Loaded);
        });
        assert_eq!(old.stats().refused_fills, 0);
        assert_eq!(get(&new, "new"), Source::Hit);
        new.invalidate("r").unwrap();
    }
}

on_both_stores! {
    a_lookup_whose_second_read_finds_another_schema_loads,
    a_refresh_that_finds_another_schema_serves_the_record_it_has,
    a_lookup_that_waits_for_a_load_of_another_schema_then_loads_its_own_record,
}
