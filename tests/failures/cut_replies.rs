//! Replies that the server does not finish: it closes a connection whose replies, not yet read,
//! exceed its `client-output-buffer-limit`. Such a record is read from the primary, and nothing
//! else changes.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{Cache, Event, Record, Source};

use crate::support::{Server, chain, load_loaf};

/// Longer than the reply that the server keeps.
const LARGE: usize = 8 << 20;

/// For leases and records: a busy machine may take many seconds for the fills.
const LONG: Duration = Duration::from_secs(600);

fn row_of(bytes: usize) -> Record {
    Record::from([("photo", "x".repeat(bytes))])
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns a result")]
fn load_large(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(row_of(LARGE)))
}

/// A server that does not send eight megabytes, a cache, and how often its breaker opened.
fn only_one_record_is_cut() -> (Server, Cache, Arc<AtomicUsize>) {
    let server = Server::start_with(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let builder = server
        .builder()
        .observer(move |_: &str, event: &Event<'_>| {
            if matches!(event, Event::BreakerOpened { .. }) {
                count.fetch_add(1, SeqCst);
            }
        });
    let builder = builder.lease_ttl(LONG).max_load_time(LONG);
    let cache: Cache = builder.ttl(LONG).build().unwrap();
    assert_eq!(
        cache.get("large", load_large).unwrap().source(),
        Source::Loaded
    );
    cache.get("small", load_loaf).unwrap();
    (server, cache, opened)
}

/// More often than the breaker's threshold.
const TIMES: usize = 12;

#[test]
fn a_record_whose_reply_the_server_cuts_does_not_open_the_breaker() {
    let (_server, cache, opened) = only_one_record_is_cut();
    for _ in 0..TIMES {
        let found = cache.get("large", load_large).unwrap();
        assert_eq!(found.source(), Source::Degraded);
        let cause = chain(found.degraded_cause().unwrap());
        assert!(cause.contains("`client-output-buffer-limit`"), "{cause}");
    }
    assert_eq!(opened.load(SeqCst), 0);
    let small = cache.get("small", load_loaf).unwrap();
    assert_eq!(small.source(), Source::Hit);
}

#[test]
fn a_batch_whose_reply_the_server_cuts_does_not_open_the_breaker() {
    let (_server, cache, opened) = only_one_record_is_cut();
    for _ in 0..TIMES {
        let load = |ids: &[&str]| {
            let rows = ids.iter().map(|id| ((*id).to_owned(), row_of(LARGE)));
            Ok::<_, Infallible>(rows.collect::<Vec<_>>())
        };
        let found = cache.get_many(["large"], load).unwrap();
        assert!(found[0].record().is_some());
    }
    assert_eq!(opened.load(SeqCst), 0);
}

/// Together they exceed the limit many times, and none does alone.
#[test]
fn a_batch_does_not_make_the_server_keep_more_replies_than_it_accepts() {
    let server = Server::start_with(&["--client-output-buffer-limit", "normal 8mb 0 0"]);
    let builder = server.builder().lease_ttl(LONG).max_load_time(LONG);
    let cache: Cache = builder.ttl(LONG).build().unwrap();
    let ids: Vec<_> = (0..1500).map(|number| format!("p-{number:04}")).collect();
    let load = |ids: &[&str]| {
        let rows = ids.iter().map(|id| ((*id).to_owned(), row_of(20_000)));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    cache.get_many(&ids, load).unwrap();
    for _ in 0..3 {
        let found = cache.get_many(&ids, load).unwrap();
        let hits = found.iter().filter(|found| found.is_hit()).count();
        assert_eq!(hits, ids.len());
    }
}
