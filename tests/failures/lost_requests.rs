//! Requests and replies that are lost or arrive late.

use std::{cell::Cell, convert::Infallible, time::Duration};

use crate::proxy::{Harm, Proxy, Which};
use crate::support::{Server, load_loaf, loaf, until};
use cache_aside::{Cache, Record, Source, TtlRemaining};

fn with_proxy() -> (Server, Proxy, Cache) {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let cache = Cache::builder(proxy.url()).prefix("test:").build().unwrap();
    (server, proxy, cache)
}

fn version(number: &str) -> Record {
    Record::from([("version", number)])
}

/// If the request were repeated with the same token, the late one would set the lease again after
/// the invalidation. The old record could then be filled.
#[test]
fn an_acquire_that_arrives_late_lets_no_old_record_in() {
    let (server, proxy, cache) = with_proxy();
    let writer = server.cache();
    // The last argument, which only this script has.
    proxy.harm(Which::With(b"\r\nrecheck\r\n"), Harm::CutAndHold);
    cache
        .get("p-001", |_| {
            // The primary has been read as 1. Another process changes it to 2.
            writer.invalidate("p-001").unwrap();
            proxy.let_through();
            Ok::<_, Infallible>(Some(version("1")))
        })
        .unwrap();
    let found = writer
        .get("p-001", |_| Ok::<_, Infallible>(Some(version("2"))))
        .unwrap();
    assert_eq!(**found.record().unwrap(), version("2"));
}

#[test]
fn a_read_whose_reply_is_lost_is_repeated() {
    let (_server, proxy, cache) = with_proxy();
    cache.get("p-001", load_loaf).unwrap();
    proxy.harm(Which::With(b"HGETALL"), Harm::CutBeforeReply);
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_fill_whose_reply_is_lost_costs_nothing() {
    let (_server, proxy, cache) = with_proxy();
    proxy.harm(Which::With(b"Sourdough Loaf"), Harm::CutBeforeReply);
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
}

#[test]
fn an_update_whose_reply_is_lost_is_not_done_twice() {
    let (_server, proxy, cache) = with_proxy();
    cache.get("p-001", load_loaf).unwrap();
    let calls = Cell::new(0);
    proxy.harm(Which::With(b"EXEC"), Harm::CutBeforeReply);
    let changed = cache.update("p-001", |record| {
        calls.set(calls.get() + 1);
        let mut record = record.clone();
        record.set("stock", "41");
        Some(record)
    });
    // It may or may not have been done, so the record has been invalidated.
    assert!(!changed.unwrap());
    assert_eq!(calls.get(), 1);
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

#[test]
fn a_field_update_whose_reply_is_lost_leaves_no_record() {
    let (_server, proxy, cache) = with_proxy();
    cache.get("p-001", load_loaf).unwrap();
    proxy.harm(Which::With(b"\r\nstock\r\n"), Harm::CutBeforeReply);
    assert!(!cache.update_field("p-001", "stock", "41").unwrap());
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(**found.record().unwrap(), loaf());
}

/// The caller gave up and invalidated. The record was loaded again with a newer value. Only then
/// does the network deliver the update.
#[test]
fn a_field_update_that_arrives_late_does_not_touch_a_newer_record() {
    let (server, proxy, cache) = with_proxy();
    let reader = server.cache();
    let load = |number| move |_: &str| Ok::<_, Infallible>(Some(version(number)));
    cache.get("p-001", load("1")).unwrap();
    // The primary is changed to 2.
    let update = Which::With(b"\r\nversion\r\n$1\r\n2\r\n");
    proxy.harm(update, Harm::CutAndHold);
    assert!(!cache.update_field("p-001", "version", "2").unwrap());
    // Another process changes it to 3, and invalidates.
    reader.invalidate("p-001").unwrap();
    reader.get("p-001", load("3")).unwrap();
    proxy.let_through();
    let found = reader.get("p-001", load("3")).unwrap();
    assert!(found.is_hit());
    assert_eq!(**found.record().unwrap(), version("3"));
}

/// No caller could fill under it, and all would wait until it lapses.
#[test]
fn a_lease_of_which_only_the_reply_was_lost_is_given_back() {
    let server = Server::start_on_port();
    let proxy = Proxy::before(server.port());
    let builder = Cache::builder(proxy.url()).prefix("test:");
    let long = Duration::from_secs(60);
    let cache: Cache = builder.lease_ttl(long).build().unwrap();
    proxy.harm(Which::With(b"\r\nrecheck\r\n"), Harm::CutBeforeReply);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    until(|| {
        let left: i64 = redis::cmd("PTTL")
            .arg("lock:{test:p-001}")
            .query(&mut server.connect())
            .unwrap();
        left == -2
    });
}
