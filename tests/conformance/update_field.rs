//! `update_field` of a field that the record type does not have, or cannot read.

use std::{cell::RefCell, collections::BTreeMap, convert::Infallible};

use cache_aside::{
    Cache, Error, Event, Record, Source,
    store::{Diff, Entry},
};
use serde::{Deserialize, Serialize};

use crate::{
    environment::{Environment, keys, set},
    reasons::Reasons,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    #[serde(alias = "count")]
    stock: u32,
    discount: Option<u8>,
    #[serde(default, skip_serializing_if = "is_false")]
    is_organic: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

fn product() -> Product {
    Product {
        name: "Rye".to_owned(),
        stock: 42,
        discount: None,
        is_organic: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns this")]
fn load(_: &str) -> Result<Option<Product>, Infallible> {
    Ok(Some(product()))
}

fn cached(environment: &Environment) -> (Cache<Product>, Reasons) {
    let reasons = Reasons::default();
    let builder = environment.builder().observer(reasons.observer());
    let cache: Cache<Product> = builder.build().unwrap();
    cache.get("p", load).unwrap();
    (cache, reasons)
}

/// The record is gone, and no entry had to be passed over.
#[track_caller]
fn is_ended(environment: &Environment, cache: &Cache<Product>) {
    assert_eq!(environment.store().read("test:p").unwrap(), Entry::Absent);
    assert!(!environment.is_held("p"));
    assert_eq!(cache.get("p", load).unwrap().source(), Source::Loaded);
    assert_eq!(cache.get("p", load).unwrap().source(), Source::Hit);
    assert_eq!(cache.stats().unreadable_entries, 0);
}

const UNKNOWN: &str = "the type has no such field, or leaves it out at this value";
const UNREADABLE: &str = "the type cannot be deserialized with this value";

fn a_field_that_the_type_does_not_have_ends_the_record(environment: &Environment) {
    let (cache, reasons) = cached(environment);
    for field in ["stokc", "", "Name"] {
        assert!(!cache.update_field("p", field, "1").unwrap(), "{field}");
        let why = (Some(field.to_owned()), UNKNOWN.to_owned());
        assert_eq!(reasons.take(), Err(why));
        is_ended(environment, &cache);
    }
    assert_eq!(cache.stats().unstorable_records, 3);
}

fn a_value_that_the_type_cannot_read_ends_the_record(environment: &Environment) {
    let (cache, reasons) = cached(environment);
    let values: [(&str, &[u8]); 5] = [
        ("stock", b"many"),
        ("stock", b"-1"),
        ("stock", b""),
        ("discount", b"256"),
        ("name", b"\xff"),
    ];
    for (field, value) in values {
        assert!(!cache.update_field("p", field, value).unwrap(), "{field}");
        let why = (Some(field.to_owned()), UNREADABLE.to_owned());
        assert_eq!(reasons.take(), Err(why));
        is_ended(environment, &cache);
    }
}

fn a_field_under_another_of_its_names_ends_the_record(environment: &Environment) {
    let (cache, _) = cached(environment);
    assert!(!cache.update_field("p", "count", "41").unwrap());
    is_ended(environment, &cache);
}

/// The cache cannot tell this from a field that the type does not have.
fn a_field_that_is_left_out_at_its_new_value_ends_the_record(environment: &Environment) {
    let (cache, _) = cached(environment);
    assert!(cache.update_field("p", "is_organic", "true").unwrap());
    assert!(!cache.update_field("p", "is_organic", "false").unwrap());
    is_ended(environment, &cache);
}

fn a_field_that_was_left_out_is_set(environment: &Environment) {
    let (cache, _) = cached(environment);
    assert!(cache.update_field("p", "discount", "5").unwrap());
    assert!(cache.update_field("p", "stock", "41").unwrap());
    let found = cache.get("p", load).unwrap();
    assert!(found.is_hit());
    let (discount, stock) = (Some(5), 41);
    let expected = Product {
        stock,
        discount,
        ..product()
    };
    assert_eq!(**found.record().unwrap(), expected);
    assert_eq!(cache.stats().unstorable_records, 0);
}

fn the_fields_of_other_programs_stay(environment: &Environment) {
    let (cache, _) = cached(environment);
    let store = environment.store();
    store
        .update(&keys("p"), None, &mut |_| Some(set("theirs", b"\xff")))
        .unwrap();
    assert!(cache.update_field("p", "stock", "41").unwrap());
    let Entry::Record(fields) = store.read("test:p").unwrap() else {
        panic!("the record is gone");
    };
    assert!(fields.contains(&("theirs".into(), b"\xff".into())));
    // But this cache does not know their fields.
    assert!(!cache.update_field("p", "theirs", "2").unwrap());
    assert_eq!(store.read("test:p").unwrap(), Entry::Absent);
}

fn a_record_and_a_map_have_every_field_whose_value_they_can_read(environment: &Environment) {
    let record = environment.cache();
    let row = || Ok::<_, Infallible>(Some(Record::from([("a", "1")])));
    record.get("r", |_| row()).unwrap();
    assert!(record.update_field("r", "\u{1f956}", "2").unwrap());
    assert!(!record.update_field("r", "b", [0xff]).unwrap());
    assert_eq!(record.get("r", |_| row()).unwrap().source(), Source::Loaded);
    record.invalidate("r").unwrap();

    let reasons = Reasons::default();
    let builder = environment.builder().observer(reasons.observer());
    let numbers: Cache<BTreeMap<String, u8>> = builder.build().unwrap();
    let row = || Ok::<_, Infallible>(Some(BTreeMap::from([("a".to_owned(), 1)])));
    numbers.get("r", |_| row()).unwrap();
    assert!(numbers.update_field("r", "alice", "2").unwrap());
    assert!(!numbers.update_field("r", "alice", "many").unwrap());
    // A key of a map may be content, so it is not shown.
    assert_eq!(reasons.take(), Err((None, UNREADABLE.to_owned())));
    assert_eq!(
        numbers.get("r", |_| row()).unwrap().source(),
        Source::Loaded
    );
}

fn an_entry_that_is_no_record_of_the_type_is_ended_by_an_update(environment: &Environment) {
    let (cache, reasons) = cached(environment);
    let ways: [fn(&Cache<Product>) -> bool; 2] = [
        |cache| cache.update_field("p", "stock", "41").unwrap(),
        |cache| cache.update("p", |_| panic!("it does not decode")).unwrap(),
    ];
    for (number, update) in ways.iter().enumerate() {
        let remove = &mut |_| {
            let (set, removed) = (Vec::new(), vec![b"name".to_vec()]);
            Some(Diff { set, removed })
        };
        environment
            .store()
            .update(&keys("p"), None, remove)
            .unwrap();
        assert!(!update(&cache));
        assert_eq!(environment.store().read("test:p").unwrap(), Entry::Absent);
        assert_eq!(cache.stats().unreadable_entries, number as u64 + 1);
        cache.get("p", load).unwrap();
    }
    assert_eq!(reasons.take(), Ok(()));
}

/// After a write by a new program, the old one must not read the old record.
fn an_update_ends_the_entry_of_another_version(environment: &Environment) {
    #[derive(Serialize, Deserialize)]
    struct InEuros {
        price_euros: f64,
        grams: u32,
    }

    let (old, _) = cached(environment);
    let new: Cache<InEuros> = environment.builder().build().unwrap();
    assert!(!new.update("p", |_| panic!("it does not decode")).unwrap());
    assert_eq!(old.get("p", load).unwrap().source(), Source::Loaded);
    assert!(!new.update_field("p", "price_euros", "6.5").unwrap());
    assert_eq!(old.get("p", load).unwrap().source(), Source::Loaded);
}

/// The value is checked against the record that another writer has stored in the meantime.
fn a_field_is_checked_again_after_a_conflict(environment: &Environment) {
    thread_local! {
        static MEANWHILE: RefCell<Option<Cache>> = const { RefCell::new(None) };
    }
    #[derive(Serialize)]
    struct Slow {
        a: String,
    }
    impl<'de> Deserialize<'de> for Slow {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Slow, D::Error> {
            let mut fields = BTreeMap::<String, String>::deserialize(deserializer)?;
            if let Some(other) = MEANWHILE.take() {
                other.update_field("r", "b", "2").unwrap();
            }
            let a = fields.remove("a").unwrap_or_default();
            Ok(Slow { a })
        }
    }

    let other = environment.cache();
    let row = || Ok::<_, Infallible>(Some(Record::from([("a", "1")])));
    other.get("r", |_| row()).unwrap();
    let cache: Cache<Slow> = environment.builder().build().unwrap();
    MEANWHILE.set(Some(other.clone()));
    assert!(cache.update_field("r", "a", "3").unwrap());
    let found = other.get("r", |_| row()).unwrap();
    let expected = Record::from([("a", "3"), ("b", "2")]);
    assert_eq!(**found.record().unwrap(), expected);
}

fn the_setting_makes_it_an_error(environment: &Environment) {
    let builder = environment.builder().fail_on_unstorable(true);
    let cache: Cache<Product> = builder.build().unwrap();
    for (field, reason) in [("stokc", UNKNOWN), ("stock", UNREADABLE)] {
        cache.get("p", load).unwrap();
        let error = cache.update_field("p", field, "many").unwrap_err();
        let Error::InvalidRecord {
            field: named,
            reason: why,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((named.as_deref(), &*why), (Some(field), reason));
        assert_eq!(environment.store().read("test:p").unwrap(), Entry::Absent);
    }
    cache.get("p", load).unwrap();
    assert!(cache.update_field("p", "stock", "41").unwrap());
    cache.invalidate("p").unwrap();
    assert!(
        !cache.update_field("p", "stokc", "1").unwrap(),
        "nothing is cached"
    );
}

/// The event is a report, and comes after the change.
fn the_report_comes_with_no_connection_held(environment: &Environment) {
    let slot = std::sync::Arc::new(std::sync::OnceLock::<Cache<Product>>::new());
    let seen = std::sync::Arc::clone(&slot);
    let observer = move |_: &str, event: &Event<'_>| {
        if let (Event::Unstorable { id, .. }, Some(cache)) = (event, seen.get()) {
            assert!(cache.peek(id).unwrap().is_none());
        }
    };
    let cache: Cache<Product> = environment.builder().observer(observer).build().unwrap();
    assert!(slot.set(cache.clone()).is_ok());
    cache.get("p", load).unwrap();
    assert!(!cache.update_field("p", "stokc", "1").unwrap());
    assert_eq!(cache.stats().unstorable_records, 1);
}

on_both_stores! {
    a_field_that_the_type_does_not_have_ends_the_record,
    a_value_that_the_type_cannot_read_ends_the_record,
    a_field_under_another_of_its_names_ends_the_record,
    a_field_that_is_left_out_at_its_new_value_ends_the_record,
    a_field_that_was_left_out_is_set,
    the_fields_of_other_programs_stay,
    a_record_and_a_map_have_every_field_whose_value_they_can_read,
    an_entry_that_is_no_record_of_the_type_is_ended_by_an_update,
    an_update_ends_the_entry_of_another_version,
    a_field_is_checked_again_after_a_conflict,
    the_setting_makes_it_an_error,
    the_report_comes_with_no_connection_held,
}
