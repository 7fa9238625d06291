//! A row that cannot be cached is returned as the loader gave it, whatever the state of the cache.
//!
//! It is never an error. It is not cached, and it is not taken for "no such record".

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt::Debug,
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    lines,
    support::{Server, free_port, until},
};
use cache_aside::{
    Cache, CacheBuilder, Event, Loaded, Memory, Record, Redis, Source, TtlRemaining,
};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

/// What a test needs of a record's type. Records are compared by their `Debug` text, as NaN differs
/// from itself.
trait Row: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}
impl<R: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> Row for R {}

/// A record with a name that is reserved for the cache.
fn own_name() -> Record {
    Record::from([("__cache_aside_x", "1")])
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct With<T> {
    id: u8,
    it: T,
}

fn with<T>(it: T) -> With<T> {
    With { id: 1, it }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Content {
    Plain,
    New(u8),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Number(u32),
    Text(String),
}

/// Checks one situation with each kind of row: a good one, a bad one, and the field that the cache
/// must name.
macro_rules! for_each_kind_of_row {
    ($check:expr) => {{
        let check = &$check;
        let map = |value| BTreeMap::from([("a".to_owned(), value)]);
        check.run("map:", map(Some("1".to_owned())), map(None), None);
        check.run(
            "enum:",
            with(Content::Plain),
            with(Content::New(1)),
            Some("it"),
        );
        check.run(
            "nested:",
            with(Some(Some(1_u8))),
            with(Some(None)),
            Some("it"),
        );
        let (text, number) = (TextOrNumber::Text("a".to_owned()), TextOrNumber::Number(1));
        check.run("untagged:", with(text), with(number), Some("it"));
        check.run("own:", Record::from([("a", "1")]), own_name(), None);
        #[cfg(feature = "json")]
        check.run(
            "json:",
            cache_aside::Json(1.5),
            cache_aside::Json(f64::NAN),
            Some("json"),
        );
    }};
}

/// One situation.
trait Check {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, field: Option<&str>);
}

/// Returns a loader that finds this row.
fn finds<R: Row>(row: &R) -> impl Fn(&str) -> Result<Option<R>, Infallible> {
    move |_| Ok(Some(row.clone()))
}

#[track_caller]
fn assert_same<R: Debug>(found: &cache_aside::Lookup<R>, row: &R) {
    let found = found.record().expect("the row was found");
    assert_eq!(format!("{found:?}"), format!("{row:?}"));
}

fn is_held(server: &Server, prefix: &str, id: &str) -> bool {
    let lease = format!("lock:{{{prefix}{id}}}");
    redis::cmd("EXISTS")
        .arg(lease)
        .query(&mut server.connect())
        .unwrap()
}

fn builder<R>(server: &Server, prefix: &str) -> CacheBuilder<R> {
    Cache::builder(server.url()).prefix(prefix)
}

struct Plain<'a>(&'a Server);

impl Check for Plain<'_> {
    fn run<R: Row>(&self, prefix: &str, _: R, bad: R, _: Option<&str>) {
        let builder = builder(self.0, prefix).negative_ttl(Duration::from_secs(10));
        let cache: Cache<R> = builder.build().unwrap();
        for loads in 1..=3 {
            let found = cache.get("r", finds(&bad)).unwrap();
            assert_eq!(found.source(), Source::Loaded, "{prefix}");
            assert_same(&found, &bad);
            assert!(!is_held(self.0, prefix, "r"));
            assert_eq!(cache.ttl_remaining("r").unwrap(), TtlRemaining::NoSuchKey);
            assert!(cache.peek("r").unwrap().is_none());
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.unstorable_records), (loads, loads));
            assert_eq!(
                (stats.hits, stats.load_errors, stats.refused_fills),
                (0, 0, 0)
            );
        }
    }
}

#[test]
fn a_row_that_cannot_be_cached_is_returned_and_counted() {
    for_each_kind_of_row!(Plain(&Server::start()));
}

struct OnMemory;

impl Check for OnMemory {
    fn run<R: Row>(&self, prefix: &str, _: R, bad: R, _: Option<&str>) {
        let cache: Cache<R> = Cache::builder(Memory::new(10))
            .prefix(prefix)
            .build()
            .unwrap();
        for _ in 0..2 {
            let found = cache.get("r", finds(&bad)).unwrap();
            assert_eq!(found.source(), Source::Loaded, "{prefix}");
            assert_same(&found, &bad);
        }
    }
}

#[test]
fn a_row_that_cannot_be_cached_is_returned_by_the_embedded_store() {
    for_each_kind_of_row!(OnMemory);
}

struct WithoutRedis;

impl Check for WithoutRedis {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, _: Option<&str>) {
        let redis = Redis::builder(format!("redis://127.0.0.1:{}", free_port()));
        let cache: Cache<R> = Cache::builder(redis).prefix(prefix).build().unwrap();
        let found = cache.get("r", finds(&bad)).unwrap();
        assert_eq!(found.source(), Source::Degraded, "{prefix}");
        assert_same(&found, &bad);
        let found = many(&cache, &good, &bad);
        assert!(found.iter().all(|found| found.source() == Source::Degraded));
    }
}

#[test]
fn a_row_that_cannot_be_cached_is_returned_without_redis() {
    for_each_kind_of_row!(WithoutRedis);
}

struct NotToBeCached<'a>(&'a Server);

impl Check for NotToBeCached<'_> {
    fn run<R: Row>(&self, prefix: &str, _: R, bad: R, _: Option<&str>) {
        let cache: Cache<R> = builder(self.0, prefix).build().unwrap();
        let unstored = |_: &str| Ok::<_, Infallible>(Loaded::new(bad.clone()).no_store());
        let loads = || Ok::<_, Infallible>(HashMap::from([("r".to_owned(), bad.clone())]));
        let zero = cache.options().ttl(Duration::ZERO);
        let skip = cache.options().skip_cache(true);
        let found = [
            zero.get("r", finds(&bad)),
            zero.get_many(["r"], |_| loads())
                .map(|found| found[0].clone()),
            cache.options().get("r", unstored),
            skip.get("r", finds(&bad)),
            skip.get_many(["r"], |_| loads())
                .map(|found| found[0].clone()),
        ];
        for found in found {
            let found = found.unwrap();
            assert_eq!(found.source(), Source::Loaded, "{prefix}");
            assert_same(&found, &bad);
        }
        assert!(!is_held(self.0, prefix, "r"));
        // It was not to be cached, so there is nothing to report.
        assert_eq!(cache.stats().unstorable_records, 0);
    }
}

#[test]
fn a_row_that_is_not_to_be_cached_is_returned_and_not_counted() {
    for_each_kind_of_row!(NotToBeCached(&Server::start()));
}

/// Three rows, the second of them bad.
fn many<R: Row>(cache: &Cache<R>, good: &R, bad: &R) -> Vec<cache_aside::Lookup<R>> {
    let row = |id: &str| {
        if id == "bad" {
            bad.clone()
        } else {
            good.clone()
        }
    };
    let load = |ids: &[&str]| {
        let rows = ids.iter().map(|id| ((*id).to_owned(), row(id)));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    let found = cache.get_many(["a", "bad", "z"], load).unwrap();
    for (found, id) in found.iter().zip(["a", "bad", "z"]) {
        assert_same(found, &row(id));
    }
    found
}

struct OthersOfTheBatch<'a>(&'a Server);

impl Check for OthersOfTheBatch<'_> {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, _: Option<&str>) {
        let cache: Cache<R> = builder(self.0, prefix).build().unwrap();
        let sources = |found: Vec<cache_aside::Lookup<R>>| {
            let sources = found.iter().map(cache_aside::Lookup::source);
            sources.collect::<Vec<_>>()
        };
        let (hit, loaded) = (Source::Hit, Source::Loaded);
        assert_eq!(sources(many(&cache, &good, &bad)), [loaded; 3], "{prefix}");
        assert!(!is_held(self.0, prefix, "bad"));
        assert_eq!(sources(many(&cache, &good, &bad)), [hit, loaded, hit]);
        assert_eq!(cache.stats().unstorable_records, 2);
    }
}

#[test]
fn the_neighbours_of_a_row_that_cannot_be_cached_are_cached() {
    for_each_kind_of_row!(OthersOfTheBatch(&Server::start()));
}

struct Near<'a>(&'a Server);

impl Check for Near<'_> {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, _: Option<&str>) {
        let cache: Cache<R> = builder(self.0, prefix).near_cache(100).build().unwrap();
        until(|| cache.stats().tracking_live);
        for _ in 0..3 {
            let found = cache.get("r", finds(&bad)).unwrap();
            assert_eq!(found.source(), Source::Loaded, "{prefix}");
            assert_same(&found, &bad);
        }
        many(&cache, &good, &bad);
        until(|| {
            let found = many(&cache, &good, &bad);
            let is_near = |at: usize| found[at].source() == Source::Near;
            assert_eq!(found[1].source(), Source::Loaded);
            is_near(0) && is_near(2)
        });
    }
}

#[test]
fn a_row_that_cannot_be_cached_is_not_kept_near() {
    for_each_kind_of_row!(Near(&Server::start()));
}

struct PastItsTtl<'a>(&'a Server);

impl Check for PastItsTtl<'_> {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, _: Option<&str>) {
        let ttl = Duration::from_millis(20);
        let builder = builder(self.0, prefix)
            .ttl(ttl)
            .grace(Duration::from_secs(60));
        let cache: Cache<R> = builder.build().unwrap();
        for id in ["r", "bad"] {
            cache.get(id, finds(&good)).unwrap();
        }
        thread::sleep(ttl + Duration::from_millis(5));
        let found = cache.get("r", finds(&bad)).unwrap();
        assert_eq!(found.source(), Source::Refreshed, "{prefix}");
        assert_same(&found, &bad);
        assert_eq!(many(&cache, &good, &bad)[1].source(), Source::Refreshed);
        for id in ["r", "bad"] {
            assert!(cache.peek(id).unwrap().is_none(), "the older row is gone");
            assert!(!is_held(self.0, prefix, id));
            let found = cache.get(id, finds(&bad)).unwrap();
            assert_eq!(found.source(), Source::Loaded);
        }
        let stats = cache.stats();
        assert_eq!((stats.refresh_errors, stats.unstorable_records), (0, 4));
    }
}

#[test]
fn a_row_that_cannot_be_cached_any_more_replaces_the_one_in_its_grace() {
    for_each_kind_of_row!(PastItsTtl(&Server::start()));
}

struct Early<'a>(&'a Server);

impl Check for Early<'_> {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, _: Option<&str>) {
        // By the setting a load takes longer than the record lives, so nine of ten lookups load it
        // early.
        let builder = builder(self.0, prefix).ttl(Duration::from_secs(2));
        let cache: Cache<R> = builder.early_refresh(1_000.0).build().unwrap();
        let slow = |_: &str| {
            thread::sleep(Duration::from_millis(20));
            Ok::<_, Infallible>(Some(good.clone()))
        };
        cache.get("r", slow).unwrap();
        let mut lookups = (0..100).map(|_| cache.get("r", finds(&bad)).unwrap());
        let found = lookups.find(|found| found.source() != Source::Hit).unwrap();
        assert_eq!(found.source(), Source::Refreshed, "{prefix}");
        assert_same(&found, &bad);
        assert!(cache.peek("r").unwrap().is_none(), "the older row is gone");
        let found = cache.get("r", finds(&bad)).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
}

#[test]
fn a_row_that_cannot_be_cached_any_more_replaces_the_one_that_is_loaded_early() {
    for_each_kind_of_row!(Early(&Server::start()));
}

struct Told<'a>(&'a Server);

impl Check for Told<'_> {
    fn run<R: Row>(&self, prefix: &str, good: R, bad: R, field: Option<&str>) {
        lines::listen();
        // Events of other tests in this process arrive as well.
        let prefix = &*format!("told:{prefix}");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        let builder = builder(self.0, prefix).observer(move |cache: &str, event: &Event<'_>| {
            if let Event::Unstorable { id, field, reason } = event {
                assert!(!reason.is_empty());
                let field = field.map(str::to_owned);
                notes.lock().unwrap().push((format!("{cache}{id}"), field));
            }
        });
        let cache: Cache<R> = builder.build().unwrap();
        cache.get("r", finds(&bad)).unwrap();
        cache.clone().get("r", finds(&bad)).unwrap();
        many(&cache, &good, &bad);
        let told = ["r", "r", "bad"].map(|id| (format!("{prefix}{id}"), field.map(str::to_owned)));
        assert_eq!(*heard.lock().unwrap(), told);
        let warned = lines::with(&format!("WARN cache `{prefix}`: the loaded record"));
        assert_eq!(warned.len(), 1, "{warned:?}");
        if let Some(field) = field {
            assert!(warned[0].contains(&format!("`{field}`")), "{warned:?}");
        }
    }
}

#[test]
fn a_row_that_cannot_be_cached_is_reported_each_time_and_logged_once() {
    own_process!();
    for_each_kind_of_row!(Told(&Server::start()));
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Two {
    a: Content,
    b: Content,
}

#[test]
fn each_field_that_cannot_be_stored_is_logged_once() {
    own_process!();
    lines::listen();
    let cache: Cache<Two> = Cache::builder(Memory::new(10))
        .prefix("fields:")
        .build()
        .unwrap();
    let (good, bad) = (Content::Plain, Content::New(1));
    for (a, b) in [(&bad, &good), (&good, &bad), (&bad, &good), (&good, &bad)] {
        let (a, b) = (a.clone(), b.clone());
        cache.get("r", finds(&Two { a, b })).unwrap();
    }
    let warned = lines::with("cache `fields:`: the loaded record");
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("`a`") && warned[1].contains("`b`"));
    assert_eq!(cache.stats().unstorable_records, 4);
}

#[test]
fn a_map_that_cannot_be_stored_is_logged_once_and_without_its_keys() {
    own_process!();
    lines::listen();
    let cache: Cache<BTreeMap<String, Content>> = Cache::builder(Memory::new(10))
        .prefix("keys:")
        .build()
        .unwrap();
    for name in ["alice", "bob", "carol"] {
        let row = BTreeMap::from([(format!("{name}@example.com"), Content::New(1))]);
        cache.get("r", finds(&row)).unwrap();
    }
    let warned = lines::with("cache `keys:`: the loaded record");
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(lines::with("@example.com").is_empty());
    assert_eq!(cache.stats().unstorable_records, 3);
}

/// A record that counts in this thread how often it is serialized.
#[derive(Debug, Clone, Deserialize)]
struct Counted;

thread_local! {
    static SERIALIZED: Cell<u32> = const { Cell::new(0) };
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALIZED.set(SERIALIZED.get() + 1);
        with(1_u8).serialize(serializer)
    }
}

#[test]
fn what_is_not_to_be_cached_is_not_serialized() {
    let server = Server::start();
    let cache: Cache<Counted> = server.builder().build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(Counted));
    let load_many = |_: &[&str]| Ok::<_, Infallible>([("r", Counted)]);
    let skip = cache.options().skip_cache(true);
    skip.get("r", load).unwrap();
    skip.get_many(["r"], load_many).unwrap();
    let zero = cache.options().ttl(Duration::ZERO);
    zero.get("r", load).unwrap();
    zero.get_many(["r"], load_many).unwrap();
    let during_a_write = cache.write("r", || {
        cache.get("r", load).unwrap();
        cache.get_many(["r"], load_many).unwrap();
        Ok::<_, Infallible>(())
    });
    let _ = during_a_write.unwrap();
    assert_eq!(SERIALIZED.get(), 0);
    cache.get("r", load).unwrap();
    assert!(SERIALIZED.get() > 0);
}

#[test]
fn all_who_wait_for_a_load_get_the_row_that_cannot_be_cached() {
    const FOLLOWERS: usize = 8;
    let server = Server::start();
    let cache: Cache = server.builder().build().unwrap();
    let (loading, go_on) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get("r", |_| {
                loading.wait();
                go_on.wait();
                Ok::<_, Infallible>(Some(own_name()))
            })
        });
        loading.wait();
        let follow = || cache.get("r", |_| -> Result<Option<Record>, Infallible> { panic!() });
        let followers: Vec<_> = (0..FOLLOWERS).map(|_| scope.spawn(follow)).collect();
        let many = scope.spawn(|| {
            cache.get_many(["r"], |_| -> Result<[(&str, Record); 1], Infallible> {
                panic!()
            })
        });
        // All have asked, and know that the lease is taken.
        until(|| cache.stats().misses == FOLLOWERS as u64 + 2);
        thread::sleep(Duration::from_millis(300));
        go_on.wait();
        let found = leader.join().unwrap().unwrap();
        assert_eq!(found.source(), Source::Loaded);
        for follower in followers {
            let found = follower.join().unwrap().unwrap();
            assert_eq!(found.source(), Source::Waited);
            assert_same(&found, &own_name());
        }
        assert_same(&many.join().unwrap().unwrap()[0], &own_name());
    });
    assert_eq!(cache.stats().unstorable_records, 1);
}

#[test]
fn a_cache_elsewhere_that_waits_for_such_a_load_is_freed_at_once() {
    let server = Server::start();
    let lease_ttl = Duration::from_secs(20);
    let build = |tracking| -> Cache {
        let builder = server.builder().lease_ttl(lease_ttl);
        builder.tracking(tracking).build().unwrap()
    };
    for (tracking, in_a_batch) in [(false, false), (false, true), (true, false), (true, true)] {
        let (cache, other) = (build(tracking), build(tracking));
        until(|| other.stats().tracking_live == tracking);
        let (loading, is_loading) = mpsc::channel();
        let row = || {
            loading.send(()).unwrap();
            until(|| other.stats().misses == 1);
            own_name()
        };
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                if in_a_batch {
                    let load = |_: &[&str]| Ok::<_, Infallible>([("r", row())]);
                    cache.get_many(["r"], load).unwrap().remove(0)
                } else {
                    let load = |_: &str| Ok::<_, Infallible>(Some(row()));
                    cache.get("r", load).unwrap()
                }
            });
            is_loading.recv().unwrap();
            let began = Instant::now();
            let found = other.get("r", crate::support::load_loaf).unwrap();
            assert!(began.elapsed() < lease_ttl / 4);
            assert!(found.degraded_cause().is_none());
            assert_eq!(found.source(), Source::Loaded);
            assert_same(&leader.join().unwrap(), &own_name());
        });
        cache.invalidate("r").unwrap();
    }
}

/// A row with a value that is longer than the 512 MiB that Redis takes.
#[test]
fn a_row_that_is_too_large_is_returned_and_counted() {
    let server = Server::start();
    let cache = server.cache();
    let large = Record::from([("photo", "x".repeat((512 << 20) + 1))]);
    let mut large = Some(large);
    let found = cache.get("r", |_| Ok::<_, Infallible>(large.take()));
    let found = found.unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(
        found.record().unwrap().get("photo").unwrap().len(),
        (512 << 20) + 1
    );
    assert!(!is_held(&server, "test:", "r"));
    let stats = cache.stats();
    assert_eq!((stats.unstorable_records, stats.store_errors), (1, 0));
}
