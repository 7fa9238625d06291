//! Ids of any type that prints itself, in every call that takes one.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::support::{load_loaf, loaf};
use cache_aside::{Cache, Error, Memory, Record, Source, WriteError};

fn cache() -> Cache {
    let memory = Memory::new(1_000);
    Cache::builder(memory).prefix("test:").build().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "it is a loader")]
fn named(id: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(Record::from([("id", id)])))
}

/// A newtype, as programs have them for their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProductId(u32);

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p-{:03}", self.0)
    }
}

/// Looks a record up while it is printed.
struct Nested<'a>(&'a Cache);

impl fmt::Display for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer ")?;
        let found = self.0.get("inner", named).map_err(|_| fmt::Error)?;
        f.write_str(&found.record().ok_or(fmt::Error)?["id"])
    }
}

struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

struct Panicking;

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half an id")?;
        panic!("the type's own")
    }
}

fn is_refused<T: fmt::Debug>(called: Result<T, Error>) {
    match called {
        Err(Error::InvalidId { reason, .. }) => {
            assert_eq!(reason, "its `Display` implementation failed");
        }
        other => panic!("no such error: {other:?}"),
    }
}

#[test]
fn an_id_of_any_type_is_its_text() {
    let cache = cache();
    let owned = String::from("p-001");
    let (twice, product): (&&String, &ProductId) = (&&owned, &ProductId(1));
    cache.get("p-001", named).unwrap();
    for found in [
        cache.get("p-001", named),
        cache.get(&owned, named),
        cache.get(twice, named),
        cache.get(*product, named),
        cache.get(product, named),
        cache.get(format_args!("p-{}", "001"), named),
        cache.get(std::borrow::Cow::Borrowed("p-001"), named),
        cache.get(owned.clone(), named),
    ] {
        let found = found.unwrap();
        assert_eq!(found.source(), Source::Hit);
        assert_eq!(&found.record().unwrap()["id"], "p-001");
    }
    for found in [cache.get(7_u64, named), cache.get('7', named)] {
        assert_eq!(&found.unwrap().record().unwrap()["id"], "7");
    }
    assert_eq!(cache.stats().loads, 2);
    assert_eq!(
        &cache.get(-1_i8, named).unwrap().record().unwrap()["id"],
        "-1"
    );
}

#[test]
fn every_call_takes_such_an_id() {
    let cache = cache();
    let id = ProductId(1);
    assert_eq!(cache.get(id, load_loaf).unwrap().source(), Source::Loaded);
    assert!(cache.peek(id).unwrap().is_some());
    assert!(cache.ttl_remaining(id).unwrap().left().is_some());
    assert!(cache.options().get(id, load_loaf).unwrap().is_hit());
    assert!(cache.update_field(id, "stock", "41").unwrap());
    assert!(cache.update(id, |_| Some(loaf())).unwrap());
    assert!(cache.expire(id).unwrap());
    cache.get(id, load_loaf).unwrap();
    let written = cache.write(id, || Ok::<_, Infallible>(())).unwrap();
    assert!(written.invalidation_error().is_none());
    assert!(!cache.invalidate(id).unwrap());
    cache.get(id, load_loaf).unwrap();
    assert_eq!(cache.invalidate_many([id, ProductId(2)]).unwrap(), 1);
}

#[test]
fn a_batch_loader_may_return_the_ids_as_it_has_them() {
    let cache = cache();
    let rows = |missing: &[&str]| {
        let row = |id: &&str| (id.parse::<u64>().unwrap(), Record::from([("id", *id)]));
        Ok::<HashMap<_, _>, Infallible>(missing.iter().filter(|id| **id != "9").map(row).collect())
    };
    let found = cache.get_many([3_u64, 9, 1, 3], rows).unwrap();
    let ids: Vec<_> = found
        .iter()
        .map(|found| Some(&found.record()?["id"]))
        .collect();
    assert_eq!(ids, [Some("3"), None, Some("1"), Some("3")]);

    let skips = cache.options().skip_cache(true);
    let found = skips.get_many([ProductId(1)], |_| {
        // Others than it was asked for are ignored, also those that no lookup can have.
        let others = [String::new(), "x".repeat(1 << 17), "other".to_owned()];
        let mut all: Vec<_> = others.map(|id| (id, loaf())).into();
        all.push(("p-001".to_owned(), Record::from([("id", "first")])));
        all.push(("p-001".to_owned(), Record::from([("id", "last")])));
        Ok::<_, Infallible>(all)
    });
    assert_eq!(&found.unwrap()[0].record().unwrap()["id"], "last");
}

#[test]
fn an_id_that_cannot_be_printed_is_an_error_of_every_call() {
    let cache = cache();
    is_refused(cache.get(Unprintable, named));
    is_refused(cache.peek(Unprintable));
    is_refused(cache.ttl_remaining(Unprintable));
    is_refused(cache.invalidate(Unprintable));
    is_refused(cache.expire(Unprintable));
    is_refused(cache.update_field(Unprintable, "stock", "41"));
    is_refused(cache.update(Unprintable, |_| None));
    is_refused(cache.invalidate_many([Unprintable]));
    is_refused(cache.options().skip_cache(true).get(Unprintable, named));
    let change = || -> Result<(), Infallible> { panic!("nothing may be changed") };
    let Err(WriteError::Cache(error)) = cache.write(Unprintable, change) else {
        panic!("no error of the cache");
    };
    is_refused(Err::<(), _>(error));
    assert_eq!(cache.stats(), self::cache().stats());
}

#[test]
fn an_id_of_a_batch_loader_that_cannot_be_printed_is_an_error() {
    let cache = cache();
    // Not "no such record": the loader may have found it.
    let load = |_: &[&str]| Ok::<_, Infallible>([(Unprintable, loaf())]);
    is_refused(cache.get_many(["p-001"], load));
    assert_eq!(cache.stats().load_errors, 1);
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

#[test]
fn an_id_may_use_the_cache_while_it_is_printed() {
    let cache = cache();
    let found = cache.get(Nested(&cache), named).unwrap();
    assert_eq!(&found.record().unwrap()["id"], "outer inner");
    let ids = [Nested(&cache), Nested(&cache)];
    assert_eq!(cache.invalidate_many(ids).unwrap(), 1);
    // A loader sees its own id, whatever the calls in it are for.
    let found = cache.get("a", |id| {
        cache.get(12_345, named).unwrap();
        named(id)
    });
    assert_eq!(&found.unwrap().record().unwrap()["id"], "a");
}

#[test]
fn an_id_that_panics_leaves_the_next_call_as_it_was() {
    let cache = cache();
    let panics = AssertUnwindSafe(|| cache.get(Panicking, named));
    assert!(catch_unwind(panics).is_err());
    let found = cache.get("p-001", named).unwrap();
    assert_eq!(&found.record().unwrap()["id"], "p-001");
}
