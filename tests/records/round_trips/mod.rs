//! Every stored record comes back unchanged, and reading any contents of Redis does no harm.
//!
//! Cases are random in each run, and a failure prints its smallest case. That one becomes a named
//! test in `records/json.rs` or `unstorable.rs`. So no file of old failures is kept.

#[cfg(feature = "json")]
mod json;
mod values;

use std::{cell::RefCell, convert::Infallible, fmt::Debug};

use crate::support::Server;
use cache_aside::{Cache, Error, Record};
use proptest::{
    collection::{SizeRange, btree_map, hash_map, vec},
    option,
    prelude::*,
    sample::select,
    test_runner::{TestCaseResult, TestRunner},
};
use serde::{Serialize, de::DeserializeOwned};
use values::{F64, bytes, int, integers, name, options, others, rest, text};

fn for_all<T: Debug>(cases: &BoxedStrategy<T>, holds: impl Fn(T) -> TestCaseResult) {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(cases, holds);
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A record type, and what it takes to store and compare its records.
trait Stored: Serialize + DeserializeOwned + Send + Sync + Clone + Debug + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + Clone + Debug + 'static> Stored for T {}

/// Each of the cases is stored in Redis and read back unchanged.
fn all_come_back<T: Stored + PartialEq>(cases: impl Strategy<Value = T> + 'static) {
    all_come_back_the_same(cases, |before, after| before == after);
}

fn all_come_back_the_same<T: Stored>(
    cases: impl Strategy<Value = T> + 'static,
    same: impl Fn(&T, &T) -> bool,
) {
    let server = Server::start();
    let cache: Cache<T> = server.builder().build().unwrap();
    for_all(&cases.boxed(), |record| {
        let load = |_: &str| Ok::<_, Infallible>(Some(record.clone()));
        cache.invalidate("r").unwrap();
        cache.get("r", load)?;
        let found = cache.get("r", |_| Ok::<_, Infallible>(None)).unwrap();
        prop_assert!(found.is_hit(), "it is unreadable");
        let back = found.record().unwrap();
        prop_assert!(same(&record, back), "came back as {:?}", back);
        Ok(())
    });
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn integers_of_every_width_come_back() {
    all_come_back(integers());
}

#[test]
fn floats_texts_bytes_enums_and_newtypes_come_back() {
    all_come_back(others());
}

#[test]
fn options_of_each_come_back() {
    all_come_back(options());
}

#[test]
fn maps_come_back_whatever_their_keys() {
    all_come_back(hash_map(name(), text(), 1..12));
    all_come_back(btree_map(int!(i128), F64::any(), 1..12));
    all_come_back(btree_map(any::<char>(), any::<bool>(), 1..12));
    all_come_back(btree_map(bytes(), bytes(), 1..12));
}

/// Short ones, so that many cost little.
fn fields(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<(String, String)>> {
    let short = || vec(any::<char>(), 0..3).prop_map(String::from_iter);
    vec((short(), short()), count)
}

#[test]
fn records_of_any_size_come_back() {
    // Some beyond the limit up to which Redis keeps the order.
    let long = vec(any::<char>(), 0..100).prop_map(String::from_iter);
    let records = (fields(0..200), name(), long).prop_map(|(mut fields, name, long)| {
        fields.push((name, long));
        Record::from_iter(fields)
    });
    all_come_back(records);
}

/// Within the limit of Redis: 128 fields, none longer than 64 bytes.
#[test]
fn a_small_record_keeps_the_order_of_its_fields() {
    let few = vec((name(), text()), 1..8);
    let records = prop_oneof![few, fields(1..=128)].prop_map(Record::from_iter);
    all_come_back_the_same(records, |before, after| before.iter().eq(after.iter()));
}

#[test]
fn a_struct_with_the_rest_of_its_fields_in_a_map_of_texts_comes_back() {
    all_come_back(rest());
}

/// Fields that another program might write: invalid ones, and plausible ones.
fn foreign() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let names = "i8 u128 usize f32 f64 flag char text bytes shelf cents id json 7 -1 \
        __cache_aside_not_found __cache_aside_empty __cache_aside";
    let values = "0 -0 1 +1 -129 256 1e400 NaN inf true Front ä null {} [] [[[ \" 1.5 {\"id\":1} \
        99999999999999999999999999999999999999999";
    let one_of =
        |words: &'static str| select(words.split(' ').collect::<Vec<_>>()).prop_map(Vec::from);
    let junk = || vec(any::<u8>(), 0..20);
    let name = prop_oneof![4 => one_of(names), 1 => junk()];
    let value = prop_oneof![4 => one_of(values), 1 => junk()];
    vec((name, value), 1..4)
}

/// Decodes foreign entries, and own ones with foreign fields, as this type. Each decodes, or is a
/// counted miss.
fn all_are_read_or_passed_over<T: Stored>(own: impl Strategy<Value = T> + 'static) {
    let server = Server::start();
    let direct = RefCell::new(server.connect());
    let cache: Cache<T> = server.builder().build().unwrap();
    for_all(&(option::of(own), foreign()).boxed(), |(own, fields)| {
        cache.invalidate("r").unwrap();
        cache.get("r", |_| Ok::<_, Infallible>(own)).unwrap();
        let mut entry = redis::pipe();
        entry.hset_multiple("test:r", &fields).ignore();
        entry.exec(&mut *direct.borrow_mut()).unwrap();
        cache.reset_stats();
        let found = cache.get("r", |_| Ok::<_, Infallible>(None)).unwrap();
        let stats = cache.stats();
        prop_assert_eq!(found.is_hit(), stats.unreadable_entries == 0);
        prop_assert_eq!((stats.hits + stats.misses, stats.degraded), (1, 0));
        // A decoded record can be written, or is rejected.
        match cache.update("r", |record| Some(record.clone())) {
            Ok(_) | Err(Error::InvalidRecord { .. }) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    });
}

#[test]
fn whatever_stands_in_a_hash_is_read_or_passed_over() {
    all_are_read_or_passed_over(vec((name(), text()), 1..4).prop_map(Record::from_iter));
    all_are_read_or_passed_over(integers());
    all_are_read_or_passed_over(others());
    all_are_read_or_passed_over(options());
    all_are_read_or_passed_over(rest());
    all_are_read_or_passed_over(hash_map(any::<i8>(), any::<f64>(), 1..4));
    all_are_read_or_passed_over(btree_map(bytes(), bytes(), 1..4));
}
