//! Tests of a client whose store could not be reached when it was opened.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Instant,
};

use super::*;
use crate::{
    backend::{client::startup::Unusable, memory::Memory, redis::Redis},
    util::worker::tests::without_threads,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn away() -> Error {
    Error::Store {
        request: "connect",
        cause: Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused)),
    }
}

/// A client whose check has not passed, and whose recovery has no thread yet.
fn not_checked() -> StoreClient {
    let breaker = Breaker::new(5);
    breaker.open(&away());
    let check = || {
        Err(Unusable {
            error: away(),
            is_away: true,
        })
    };
    let startup = Startup::pending(Arc::new(check));
    StoreClient::with(Memory::new(1).store(), breaker, MS(10), startup)
}

#[test]
fn a_start_without_a_server_and_without_threads_is_an_error_only_if_a_connection_is_required() {
    let away = Redis::builder("redis://127.0.0.1:1");
    let required = away.clone().require_connection(true);
    let (built, refused) = without_threads(|| (away.build(), required.build()));
    let said = format!("{:#}", refused.unwrap_err());
    assert!(said.contains("no thread could be started"), "{said}");
    assert!(built.unwrap().client.get().breaker_is_open());
}

#[test]
fn a_store_that_was_not_checked_is_not_used_if_no_thread_can_be_started() {
    let client = not_checked();
    without_threads(|| client.start_recovery());
    assert!(client.breaker_is_open());
}

#[test]
fn a_store_that_was_checked_is_asked_again_if_no_thread_can_be_started() {
    let client = StoreClient::new(Memory::new(1).store(), 5, MS(10));
    client.state.breaker.open(&away());
    without_threads(|| client.start_recovery());
    assert!(!client.breaker_is_open());
}

/// Counts the changes of records.
#[derive(Default)]
struct Changes(AtomicU32);

impl ChangeListener for Changes {
    fn on_confirmed(&self, _: Instant) {}
    fn on_change(&self, _: &str) {
        self.0.fetch_add(1, SeqCst);
    }
    fn on_lease_change(&self, _: &str) {}
    fn on_flush(&self) {}
    fn on_disconnect(&self) {}
}

#[test]
fn a_subscription_begins_when_the_check_has_passed_unless_its_cache_is_dropped() {
    let is_back = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_back);
    let check = move || {
        if asked.load(SeqCst) {
            return Ok(());
        }
        Err(Unusable {
            error: away(),
            is_away: true,
        })
    };
    let startup = Startup::pending(Arc::new(check));
    let store = Memory::new(10).store();
    let client = StoreClient::with(Arc::clone(&store), Breaker::new(5), MS(10), startup);
    let track = || {
        let changes = Arc::new(Changes::default());
        let subscription = client.track("test:", MS(50), Arc::clone(&changes) as _);
        (changes, subscription.unwrap())
    };
    let change = || store.invalidate(&Keys::of("test:a".to_owned())).unwrap();

    let ((kept, kept_subscription), (dropped, subscription)) = (track(), track());
    drop(subscription);
    assert!(!client.state.try_recover());
    change();
    assert_eq!(kept.0.load(SeqCst), 0);

    is_back.store(true, SeqCst);
    assert!(client.state.try_recover());
    let (later, _later_subscription) = track();
    change();
    assert_eq!(kept.0.load(SeqCst), 1);
    assert_eq!(later.0.load(SeqCst), 1);
    assert_eq!(dropped.0.load(SeqCst), 0);

    drop(kept_subscription);
    change();
    assert_eq!(kept.0.load(SeqCst), 1);
    assert_eq!(later.0.load(SeqCst), 2);
}
