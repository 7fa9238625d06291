//! Tests of a client whose store could not be reached when it was opened.

use std::io;

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
fn build_fails_if_the_server_is_away_and_no_thread_can_be_started() {
    let built = without_threads(|| Redis::builder("redis://127.0.0.1:1").build());
    let said = chain(&built.unwrap_err()).to_string();
    assert!(
        said.contains("no thread to connect later could be started"),
        "{said}"
    );
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
