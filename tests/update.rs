//! Invalidations and updates of what is cached.

mod support;

use std::{cell::Cell, time::Duration};

use cache_aside::{Cache, Error, Record, Source, TtlRemaining};
use support::{Server, load_loaf, loaf};

fn cached(server: &Server) -> Cache {
    let cache = server.cache();
    cache.get("p-001", load_loaf).unwrap();
    cache
}

fn stock(cache: &Cache) -> String {
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Hit);
    found.record().unwrap().get("stock").unwrap().to_owned()
}

fn age(server: &Server) {
    let aged: bool = redis::cmd("PEXPIRE")
        .arg("test:p-001")
        .arg(5_000)
        .query(&mut server.connect())
        .unwrap();
    assert!(aged);
}

fn left(cache: &Cache) -> Duration {
    match cache.ttl_remaining("p-001").unwrap() {
        TtlRemaining::Left(left) => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalidation_says_whether_there_was_a_record() {
    let server = Server::start();
    let cache = cached(&server);
    assert!(cache.invalidate("p-001").unwrap());
    assert!(!cache.invalidate("p-001").unwrap());
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

#[test]
fn a_field_is_updated_only_where_a_record_is_cached() {
    let server = Server::start();
    let cache = server.cache();
    assert!(!cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );

    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(stock(&cache), "41");
}

#[test]
fn an_update_starts_the_ttl_anew_unless_it_is_to_be_kept() {
    let server = Server::start();
    let cache = cached(&server);
    let keeping: Cache = server.builder().keep_ttl_on_update(true).build().unwrap();
    let change = |record: &Record| {
        let mut record = record.clone();
        record.set("stock", "40");
        Some(record)
    };
    age(&server);
    keeping.update_field("p-001", "stock", "41").unwrap();
    assert!(left(&cache) <= Duration::from_secs(5));
    keeping.update("p-001", change).unwrap();
    assert!(left(&cache) <= Duration::from_secs(5));
    cache.update_field("p-001", "stock", "41").unwrap();
    assert!(left(&cache) > Duration::from_secs(5));
    age(&server);
    cache.update("p-001", change).unwrap();
    assert!(left(&cache) > Duration::from_secs(5));
}

#[test]
fn the_ttl_tells_no_key_from_no_expiry() {
    let server = Server::start();
    let cache = cached(&server);
    assert_eq!(cache.ttl(), Duration::from_secs(30));
    assert!(left(&cache) <= Duration::from_secs(30));
    assert!(left(&cache) > Duration::from_secs(25));
    assert_eq!(
        cache.ttl_remaining("p-002").unwrap(),
        TtlRemaining::NoSuchKey
    );
    let _: () = redis::cmd("PERSIST")
        .arg("test:p-001")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(cache.ttl_remaining("p-001").unwrap(), TtlRemaining::NoTtl);
}

#[test]
fn an_update_changes_adds_and_removes_fields() {
    let server = Server::start();
    let cache = cached(&server);
    let changed = cache.update("p-001", |record| {
        let mut record = record.clone();
        record.set("stock", "41");
        record.set("note", "last ones");
        record.remove("price_cents");
        Some(record)
    });
    assert!(changed.unwrap());
    let mut expected = loaf();
    expected.set("stock", "41");
    expected.set("note", "last ones");
    expected.remove("price_cents");
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(**found.record().unwrap(), expected);
}

#[test]
fn an_update_leaves_the_fields_that_the_type_does_not_know() {
    let server = Server::start();
    cached(&server);
    let names: Cache<std::collections::BTreeMap<String, String>> =
        server.builder().build().unwrap();
    let typed: Cache<Stock> = server.builder().build().unwrap();
    let sold = |old: &Stock| {
        Some(Stock {
            stock: old.stock - 1,
        })
    };
    assert!(typed.update("p-001", sold).unwrap());
    let found = names
        .get("p-001", |_| Ok::<_, std::convert::Infallible>(None))
        .unwrap();
    assert_eq!(found.record().unwrap()["stock"], "41");
    assert_eq!(found.record().unwrap()["name"], "Sourdough Loaf");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Stock {
    stock: u32,
}

#[test]
fn an_update_that_declines_or_finds_nothing_changes_nothing() {
    let server = Server::start();
    let cache = cached(&server);
    assert!(!cache.update("p-001", |_| None).unwrap());
    assert_eq!(stock(&cache), "42");
    assert!(
        !cache
            .update("p-002", |_| panic!("nothing is cached"))
            .unwrap()
    );
}

#[test]
fn an_update_that_was_overtaken_sees_the_newer_record() {
    let server = Server::start();
    let cache = cached(&server);
    let calls = Cell::new(0);
    let changed = cache.update("p-001", |record| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            cache.update_field("p-001", "stock", "7").unwrap();
        }
        let mut record = record.clone();
        let stock: u32 = record.get("stock").unwrap().parse().unwrap();
        record.set("stock", (stock - 1).to_string());
        Some(record)
    });
    assert!(changed.unwrap());
    assert_eq!(calls.get(), 2);
    assert_eq!(stock(&cache), "6");
}

#[test]
fn an_update_that_is_always_overtaken_gives_up_and_leaves_nothing_stale() {
    let server = Server::start();
    let cache = cached(&server);
    let calls = Cell::new(0);
    let error = cache
        .update("p-001", |record| {
            calls.set(calls.get() + 1);
            let stock = calls.get().to_string();
            cache.update_field("p-001", "stock", stock).unwrap();
            Some(record.clone())
        })
        .unwrap_err();
    assert!(
        matches!(error, Error::Contended { attempts: 16 }),
        "{error}"
    );
    assert_eq!(calls.get(), 16);
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

#[test]
fn an_update_to_no_record_is_refused_and_the_connection_goes_on() {
    let server = Server::start();
    let cache = cached(&server);
    let error = cache.update("p-001", |_| Some(Record::new())).unwrap_err();
    assert!(
        matches!(error, Error::Record { field: None, .. }),
        "{error}"
    );
    assert_eq!(stock(&cache), "42");
    assert!(cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(stock(&cache), "41");
}

#[test]
fn a_closure_that_panics_in_an_update_leaves_no_watched_connection_behind() {
    let server = Server::start();
    let redis = cache_aside::Redis::builder(server.url()).pool_size(1);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.update("p-001", |_| panic!("the closure's own"))
    }));
    assert!(panicked.is_err());
    // On a connection that still watched, this would be the transaction that fails.
    let bump = |record: &Record| {
        let mut record = record.clone();
        record.set("stock", "1");
        Some(record)
    };
    server.cache().update_field("p-001", "stock", "3").unwrap();
    assert!(cache.update("p-001", bump).unwrap());
    let clients: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut server.connect())
        .unwrap();
    assert!(!clients.contains("watch=2"), "{clients}");
}

#[test]
fn the_caches_own_field_names_are_refused() {
    let server = Server::start();
    let cache = cached(&server);
    let error = cache
        .update_field("p-001", "__cache_aside_x", "1")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record's field `__cache_aside_x` cannot be stored: names that begin with `__cache_aside` belong to the cache"
    );
    let record = Record::from([("__cache_aside", "1")]);
    let error = cache
        .get("p-002", |_| Ok::<_, std::convert::Infallible>(Some(record)))
        .unwrap_err();
    assert!(matches!(error, Error::Record { field: Some(_), .. }));
}
