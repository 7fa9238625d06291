//! Reads of some fields of a record.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use cache_aside::{
    Cache, Error, Record, Source, TtlRemaining,
    store::{Entry, Recheck, Token},
};
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Environment, keys},
    support::{load_loaf, load_nothing},
};

const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    stock: u32,
    discount: Option<f64>,
}

/// What a read of these fields finds: the fields and their source. `None`: no record.
fn read<R>(cache: &Cache<R>, names: &[&str]) -> Option<(Option<Record>, Source)> {
    let found = cache.get_fields("k", names).unwrap()?;
    Some((
        found.record().map(|record| (**record).clone()),
        found.source(),
    ))
}

#[expect(clippy::unnecessary_wraps, reason = "what `read` finds")]
fn hit<const N: usize>(fields: [(&str, &str); N]) -> Option<(Option<Record>, Source)> {
    Some((Some(Record::from(fields)), Source::Hit))
}

/// Stores this entry as another program does.
fn put(environment: &Environment, entry: &[(&str, &[u8])]) {
    let (store, token) = (environment.store(), Token::random());
    store.invalidate(&keys("k")).unwrap();
    store
        .acquire(&keys("k"), token, LONG, Recheck::Never)
        .unwrap();
    let fields = entry
        .iter()
        .map(|(name, value)| ((*name).into(), value.to_vec()));
    let fields = fields.collect();
    assert!(store.fill(&keys("k"), token, LONG, &fields).unwrap());
}

fn the_fields_that_exist_are_returned_as_text(environment: &Environment) {
    let cache: Cache<Product> = environment.builder().build().unwrap();
    assert_eq!(read(&cache, &["name"]), None, "no record");
    let rye = Product {
        name: "Rye Loaf".to_owned(),
        stock: 42,
        discount: None,
    };
    let load = |_: &str| Ok::<_, Infallible>(Some(rye.clone()));
    cache.get("k", load).unwrap();
    let before = cache.stats();
    let expected = hit([("stock", "42"), ("name", "Rye Loaf")]);
    assert_eq!(read(&cache, &["stock", "name", "stock"]), expected);
    assert_eq!(
        read(&cache, &["discount", "stock", "colour"]),
        hit([("stock", "42")])
    );
    assert_eq!(read(&cache, &["discount"]), hit([]), "no such field");
    assert_eq!(read(&cache, &[]), hit([]));
    assert_eq!(cache.stats(), before, "it is no lookup");
    cache.invalidate("k").unwrap();
    assert_eq!(read(&cache, &["name"]), None);
}

fn a_cached_no_such_record_is_told_from_no_record(environment: &Environment) {
    let builder = environment.builder().negative_ttl(LONG / 4);
    let cache: Cache = builder.build().unwrap();
    cache.get("k", load_nothing).unwrap();
    assert_eq!(read(&cache, &["name"]), Some((None, Source::Hit)));
    // Another program has added a field to it.
    put(
        environment,
        &[("__cache_aside_not_found", b"1"), ("name", b"Rye Loaf")],
    );
    assert_eq!(read(&cache, &["name"]), None);
    assert!(cache.peek("k").unwrap().is_none());
}

fn a_record_without_fields_is_a_record(environment: &Environment) {
    let cache: Cache<HashMap<String, String>> = environment.builder().build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(HashMap::new()));
    cache.get("k", load).unwrap();
    assert_eq!(read(&cache, &["name"]), hit([]));
}

fn a_record_of_another_schema_is_none(environment: &Environment) {
    let with = |number| environment.builder().schema(number).build().unwrap();
    let (one, two): (Cache, Cache) = (with(1), with(2));
    one.get("k", load_loaf).unwrap();
    assert_eq!(read(&one, &["stock"]), hit([("stock", "42")]));
    assert_eq!(read(&one, &["colour"]), hit([]));
    for other in [&two, &environment.cache()] {
        assert_eq!(read(other, &["stock"]), None);
    }
    environment.cache().invalidate("k").unwrap();
    environment.cache().get("k", load_loaf).unwrap();
    assert_eq!(read(&one, &["stock"]), None);
}

fn a_stale_record_is_marked(environment: &Environment) {
    let cache: Cache = environment.builder().grace(LONG).build().unwrap();
    cache.get("k", load_loaf).unwrap();
    assert_eq!(read(&cache, &["stock"]), hit([("stock", "42")]));
    cache.expire("k").unwrap();
    let (_, source) = read(&cache, &["stock"]).unwrap();
    assert_eq!(source, Source::Stale);
}

fn bytes_that_are_no_text_are_no_record(environment: &Environment) {
    put(environment, &[("name", b"Rye Loaf"), ("image", &[0xff, 0])]);
    let cache = environment.cache();
    assert_eq!(read(&cache, &["name"]), hit([("name", "Rye Loaf")]));
    assert_eq!(read(&cache, &["name", "image"]), None);
}

fn what_an_update_has_changed_is_read(environment: &Environment) {
    let cache = environment.cache();
    cache.get("k", load_loaf).unwrap();
    assert!(cache.update_field("k", "stock", "41").unwrap());
    assert_eq!(read(&cache, &["stock"]), hit([("stock", "41")]));
}

fn a_name_or_an_id_that_cannot_be_one_is_refused(environment: &Environment) {
    let cache = environment.cache();
    let refused = cache.get_fields("k", &["name", "__cache_aside_schema"]);
    assert!(matches!(refused, Err(Error::InvalidRecord { .. })));
    assert!(matches!(
        cache.get_fields("", &["name"]),
        Err(Error::InvalidId { .. })
    ));
}

/// The step itself, with a field of each kind.
fn a_store_returns_the_fields_that_it_has_with_the_ttl(environment: &Environment) {
    let store = environment.store();
    let read = |names: &[&[u8]]| store.read_fields("test:k", names).unwrap();
    assert_eq!(read(&[b"a"]), (Entry::Absent, TtlRemaining::NoSuchKey));
    put(environment, &[("a", b"1"), ("", b""), ("b", b"\r\n\0")]);
    let (entry, left) = read(&[b"b", b"c", b""]);
    let Entry::Record(mut fields) = entry else {
        panic!("there is a record");
    };
    fields.sort();
    let expected = [
        (b"".to_vec(), b"".to_vec()),
        (b"b".to_vec(), b"\r\n\0".to_vec()),
    ];
    assert_eq!(fields, expected);
    let left = left.left().unwrap();
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    assert_eq!(read(&[b"c"]).0, Entry::Record(Vec::new()));
}

on_both_stores!(
    the_fields_that_exist_are_returned_as_text,
    a_cached_no_such_record_is_told_from_no_record,
    a_record_without_fields_is_a_record,
    a_record_of_another_schema_is_none,
    a_stale_record_is_marked,
    bytes_that_are_no_text_are_no_record,
    what_an_update_has_changed_is_read,
    a_name_or_an_id_that_cannot_be_one_is_refused,
    a_store_returns_the_fields_that_it_has_with_the_ttl,
);
