//! That there is no record is worth remembering too.

mod support;

use std::{cell::Cell, time::Duration};

use cache_aside::{Cache, Error, Record, Source, TtlRemaining};
use support::{Server, load_loaf, load_nothing, loaf};

const NEGATIVE_TTL: Duration = Duration::from_secs(5);

fn cache(server: &Server) -> Cache {
    let builder = server.builder().negative_ttl(NEGATIVE_TTL);
    builder.build().unwrap()
}

#[test]
fn a_record_that_is_not_there_is_asked_for_once() {
    let server = Server::start();
    let cache = cache(&server);
    let first = cache.get("nope", load_nothing).unwrap();
    assert_eq!(first.source(), Source::Loaded);
    assert!(first.record().is_none());

    let second = cache.get("nope", load_loaf).unwrap();
    assert!(second.is_hit() && second.record().is_none());
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits, stats.negative_hits), (1, 1, 1));

    let left = cache.ttl_remaining("nope").unwrap().left().unwrap();
    assert!(left <= NEGATIVE_TTL && left > NEGATIVE_TTL / 2, "{left:?}");
}

#[test]
fn other_programs_see_one_field_that_says_so() {
    let server = Server::start();
    cache(&server).get("nope", load_nothing).unwrap();
    let entry: Vec<(String, String)> = redis::cmd("HGETALL")
        .arg("test:nope")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(entry, [("__cache_aside_not_found".into(), "1".into())]);
}

#[test]
fn an_invalidation_after_an_insert_ends_it() {
    let server = Server::start();
    let cache = cache(&server);
    cache.get("p-001", load_nothing).unwrap();
    assert!(cache.invalidate("p-001").unwrap());
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(**found.record().unwrap(), loaf());
}

#[test]
fn without_the_setting_nothing_is_kept_but_what_others_kept_is_read() {
    let server = Server::start();
    let plain = server.cache();
    plain.get("nope", load_nothing).unwrap();
    assert_eq!(
        plain.ttl_remaining("nope").unwrap(),
        TtlRemaining::NoSuchKey
    );
    cache(&server).get("nope", load_nothing).unwrap();
    assert!(plain.get("nope", load_loaf).unwrap().is_hit());
}

#[test]
fn a_loader_that_fails_is_not_taken_for_one_that_found_nothing() {
    let server = Server::start();
    let cache = cache(&server);
    let failed = cache.get("p-001", |_| Err::<Option<Record>, _>("no connection"));
    assert!(matches!(failed, Err(Error::Loader(_))));
    assert!(cache.get("p-001", load_loaf).unwrap().record().is_some());
}

#[test]
fn those_who_wait_in_another_process_are_told_as_well() {
    let server = Server::start();
    let (here, there) = (cache(&server), cache(&server));
    std::thread::scope(|scope| {
        let waiting = Cell::new(None);
        here.get("nope", |id| {
            waiting.set(Some(scope.spawn(|| there.get("nope", load_loaf))));
            support::until(|| there.stats().misses == 1);
            load_nothing(id)
        })
        .unwrap();
        let waited = waiting.take().unwrap().join().unwrap().unwrap();
        // Before or after the fill, it got the same: nothing.
        assert!(waited.record().is_none(), "{waited:?}");
    });
    assert_eq!(there.stats().loads, 0);
}

/// The update says that the primary has a record by now.
#[test]
fn an_update_of_what_was_not_there_ends_it_and_writes_no_part_of_a_record() {
    let server = Server::start();
    let cache = cache(&server);
    let gone = || cache.ttl_remaining("p-001").unwrap() == TtlRemaining::NoSuchKey;

    cache.get("p-001", load_nothing).unwrap();
    assert!(!cache.update_field("p-001", "stock", "41").unwrap());
    assert!(gone());

    cache.get("p-001", load_nothing).unwrap();
    let changed = cache.update("p-001", |_| unreachable!("there is no record"));
    assert!(!changed.unwrap());
    assert!(gone());
}

#[test]
fn fields_that_somebody_added_to_it_make_it_unreadable() {
    let server = Server::start();
    let cache = cache(&server);
    cache.get("p-001", load_nothing).unwrap();
    redis::cmd("HSET")
        .arg(&["test:p-001", "stock", "41"])
        .exec(&mut server.connect())
        .unwrap();
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable, 1);
    assert_eq!(
        **cache.get("p-001", load_loaf).unwrap().record().unwrap(),
        loaf()
    );
}

#[test]
fn it_must_not_outlive_a_record() {
    let server = Server::start();
    let builder = server.builder().ttl(Duration::from_secs(1));
    let error = builder
        .negative_ttl(Duration::from_secs(2))
        .build::<Record>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "setting `negative_ttl`: 2s is longer than the `ttl` of 1s"
    );
}
