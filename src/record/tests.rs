//! Order, equality and hash of records.

use std::hash::{BuildHasher, BuildHasherDefault};

use super::*;

fn hash(record: &Record) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(record)
}

#[test]
fn a_field_that_is_set_again_keeps_its_place() {
    let mut record = Record::from([("a", "1"), ("b", "2")]);
    assert_eq!(record.insert("a", "3").as_deref(), Some("1"));
    assert_eq!(record.insert("c", "4"), None);
    let fields = [("a", "3"), ("b", "2"), ("c", "4")];
    assert_eq!(record.iter().collect::<Vec<_>>(), fields);
    assert_eq!(record.remove("a").as_deref(), Some("3"));
    assert_eq!(record.remove("a"), None);
    assert_eq!(record.len(), 2);
}

#[test]
fn records_are_equal_and_have_equal_hashes_whatever_their_order() {
    let record = Record::from([("a", "1"), ("b", "2")]);
    let turned = Record::from([("b", "2"), ("a", "1")]);
    assert_eq!(record, turned);
    assert_eq!(hash(&record), hash(&turned));
    for other in [
        Record::from([("a", "1")]),
        Record::from([("a", "2"), ("b", "1")]),
        Record::from([("a", "1"), ("b", "2"), ("c", "3")]),
        Record::from([("a1", ""), ("b", "2")]),
    ] {
        assert_ne!(record, other);
        assert_ne!(hash(&record), hash(&other));
    }
}

#[test]
fn equality_is_symmetric_where_a_name_occurs_twice() {
    let of = |fields: [(&str, &str); 2]| Record {
        fields: fields
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
    };
    let (twice, once) = (of([("a", "1"), ("a", "1")]), of([("a", "1"), ("b", "2")]));
    assert_ne!(twice, once);
    assert_ne!(once, twice);
    let (left, right) = (of([("a", "1"), ("a", "2")]), of([("a", "2"), ("a", "1")]));
    assert_eq!(left, right);
    assert_eq!(hash(&left), hash(&right));
}

#[test]
fn large_records_are_collected_extended_and_compared_as_small_ones_are() {
    for count in [MANY - 1, MANY, MANY + 1, 10 * MANY] {
        let fields = || (0..count).map(|number| (format!("f{number}"), "old"));
        let record: Record = fields().collect();
        let turned = fields().rev().collect();
        assert_eq!(record, turned);
        assert_eq!(hash(&record), hash(&turned));
        let again: Record = fields().chain([("f1".to_owned(), "new")]).collect();
        assert_eq!(again.len(), count);
        assert_eq!(again.iter().nth(1), Some(("f1", "new")));
        assert_ne!(record, again);
        let another = fields().skip(1).chain([("other".to_owned(), "old")]);
        assert_ne!(record, another.collect());

        let mut extended = record.clone();
        extended.extend([("f0", "1"), ("new", "2"), ("f0", "3"), ("new", "4")]);
        assert_eq!(extended.len(), count + 1);
        assert_eq!(extended.iter().next(), Some(("f0", "3")));
        assert_eq!(extended.iter().next_back(), Some(("new", "4")));
        extended.extend(&record);
        assert_eq!(extended.remove("new").as_deref(), Some("4"));
        assert_eq!(extended, record);
    }
}

#[test]
fn a_record_is_iterated_in_order() {
    let record = Record::from([("b", "1"), ("a", "2")]);
    let mut seen = Vec::new();
    for (name, value) in &record {
        seen.push((name, value));
    }
    assert_eq!(seen, [("b", "1"), ("a", "2")]);
    assert_eq!(record.keys().rev().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(record.keys().len(), 2);
    let owned: Vec<(String, String)> = record.clone().into_iter().collect();
    assert_eq!(owned.into_iter().collect::<Record>(), record);
}

#[test]
fn a_field_is_found_by_its_name() {
    let record = Record::from([("a", "1")]);
    assert_eq!(&record["a"], "1");
}

#[test]
#[should_panic(expected = "the record has no field `b`")]
fn a_field_that_is_missing_panics_with_its_name() {
    let _ = &Record::from([("a", "1")])["b"];
}
