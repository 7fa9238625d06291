//! Versions on a store that keeps no floors.

use std::{convert::Infallible, sync::Arc, time::Duration};

use cache_aside::{
    Backend, Cache, Memory, Record,
    store::{Acquire, Failure, Keys, Store, Token},
};

use crate::{
    delegate::delegate,
    support::{chain, loaf},
};

/// A store that knows nothing of floors.
struct Plain {
    within: Arc<dyn Store>,
}

impl Store for Plain {
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: bool,
    ) -> Result<Acquire, Failure> {
        self.within.acquire(keys, token, lease_ttl, recheck)
    }

    delegate!(within: read refresh fill release back_off renew invalidate expire guard unguard update ttl ping);
}

fn plain() -> Backend {
    let within = Memory::new(100).store();
    Backend::new(Arc::new(Plain { within }))
}

#[test]
fn versions_are_refused_on_a_store_that_keeps_no_floors() {
    let builder = Cache::<Record>::builder(plain()).prefix("test:");
    let refused = builder.versions(Duration::from_secs(5)).build();
    assert_eq!(
        chain(&refused.unwrap_err()),
        "setting `versions`: this store keeps no floors"
    );
}

#[test]
fn on_such_a_store_a_write_through_is_a_write() {
    let cache: Cache = Cache::builder(plain()).prefix("test:").build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(loaf()));
    cache.get("p-001", load).unwrap();
    let written = cache.write_through("p-001", || Ok::<_, Infallible>((7, Some(loaf()))));
    let written = written.unwrap();
    assert!(!written.is_cached() && written.guard_error().is_none());
    assert!(written.invalidation_error().is_none());
    assert_eq!(*written.value(), 7);
    assert!(cache.peek("p-001").unwrap().is_none());
    assert!(!cache.invalidate_at("p-001", 7).unwrap());
}
