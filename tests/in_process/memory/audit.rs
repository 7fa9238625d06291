//! The audit while the store fails, or its time passes.

use std::{
    convert::Infallible,
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use cache_aside::{Audit, Audited, Cache, Event, Memory, Record};
use parking_lot::Mutex;

use crate::support::load_loaf;

const LONG: Duration = Duration::from_secs(20);

/// How a sample of a record that differs ends, if this happens before the second look.
fn ends(before_last: impl Fn(&Memory, &Cache) + Send + Sync + 'static) -> Audited {
    let memory = Memory::new(100);
    let (ended, outcomes) = channel();
    let (of_loader, own) = (memory.clone(), Arc::new(Mutex::new(None)));
    let (taken, loads) = (Arc::clone(&own), Mutex::new(0));
    let audit = Audit::new(move |_: &str| {
        let number = {
            let mut loads = loads.lock();
            *loads += 1;
            *loads
        };
        if number == 2 {
            // Taken, because a loader that holds the cache keeps it alive.
            let cache: Cache = taken.lock().take().unwrap();
            before_last(&of_loader, &cache);
        }
        Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])))
    });
    let cache: Cache = Cache::builder(&memory)
        .prefix("test:")
        .audit(audit.rate(1.0).delay(Duration::from_millis(1)))
        .observer(move |_: &str, event: &Event<'_>| {
            if let Event::Audited { outcome, .. } = event {
                ended.send(*outcome).unwrap();
            }
        })
        .build()
        .unwrap();
    *own.lock() = Some(cache.clone());
    for _ in 0..2 {
        cache.get("k", load_loaf).unwrap();
    }
    outcomes.recv_timeout(LONG).unwrap()
}

#[test]
fn without_a_disturbance_the_record_is_reported() {
    assert_eq!(ends(|_, _| ()), Audited::Inconsistent);
}

#[test]
fn a_store_that_fails_fails_the_sample() {
    let failed = ends(|memory, _| memory.set_unavailable(true));
    assert_eq!(failed, Audited::Failed);
}

/// The process does not read such a record, so nobody gets it.
#[test]
fn a_record_whose_invalidation_is_pending_is_not_reported() {
    let pending = ends(|memory, cache| {
        memory.set_unavailable(true);
        assert!(cache.invalidate("k").is_err());
    });
    assert_eq!(pending, Audited::Unconfirmed);
}

/// A step of the clock moves the ends of all TTLs.
#[test]
fn after_a_step_of_the_clock_of_the_store_no_fill_is_the_same() {
    let stepped = ends(|memory, _| memory.advance(Duration::from_secs(1)));
    assert_eq!(stepped, Audited::Unconfirmed);
}
