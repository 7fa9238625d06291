//! Records of types of one's own.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt::Debug,
};

use crate::{ground::Ground, support::loaf};
use cache_aside::{Cache, Error, Record, store::Entry};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Puts a record into the store and reads it back from there.
fn round_trip<R>(ground: &Ground, record: &R) -> R
where
    R: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    let cache: Cache<R> = ground.builder().build().unwrap();
    cache.invalidate("r").unwrap();
    let load = || Ok::<_, Infallible>(Some(record.clone()));
    cache.get("r", |_| load()).unwrap();
    let found = cache.get("r", |_| load()).unwrap();
    assert!(found.is_hit(), "{record:?} came back as another type");
    found.record().unwrap().as_ref().clone()
}

fn refusal<R: Serialize + DeserializeOwned>(ground: &Ground, record: R) -> String {
    let cache: Cache<R> = ground.builder().build().unwrap();
    let error = cache
        .get("refused", |_| Ok::<_, Infallible>(Some(record)))
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, Error::Record { .. }), "{error}");
    error.to_string()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shelf {
    Front,
    #[serde(rename = "in the back")]
    Back,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cents(u32);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    price: Cents,
    stock: i64,
    weight: f64,
    ratio: f32,
    big: u128,
    organic: bool,
    grade: char,
    shelf: Shelf,
    discount: Option<u8>,
    note: Option<String>,
}

fn product() -> Product {
    Product {
        name: "Sauerteig \"№ 1\"\n\0".into(),
        price: Cents(u32::MAX),
        stock: i64::MIN,
        weight: 0.1 + 0.2,
        ratio: f32::MIN_POSITIVE,
        big: u128::MAX,
        organic: true,
        grade: 'ä',
        shelf: Shelf::Back,
        discount: None,
        note: Some(String::new()),
    }
}

fn a_struct_comes_back_to_the_last_bit(ground: &Ground) {
    assert_eq!(round_trip(ground, &product()), product());
    for weight in [f64::MAX, f64::MIN_POSITIVE, -0.0, f64::INFINITY, 1e-310] {
        let back = round_trip(
            ground,
            &Product {
                weight,
                ..product()
            },
        );
        assert_eq!(back.weight.to_bits(), weight.to_bits());
    }
}

fn a_struct_is_kept_as_text(ground: &Ground) {
    round_trip(ground, &product());
    let Entry::Record(fields) = ground.store().read("test:r").unwrap() else {
        panic!("it was just read");
    };
    let fields: HashMap<_, _> = fields.into_iter().collect();
    let text = |name: &str| String::from_utf8_lossy(&fields[name.as_bytes()]);
    assert_eq!(text("price"), "4294967295");
    assert_eq!(text("organic"), "true");
    assert_eq!(text("shelf"), "in the back");
    assert_eq!(text("note"), "");
    assert!(
        !fields.contains_key(b"discount".as_slice()),
        "None leaves its field out"
    );
}

fn maps_and_records_are_records_too(ground: &Ground) {
    let pairs = || loaf().iter().map(own).collect::<Vec<_>>();
    let sorted: BTreeMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(ground, &sorted), sorted);
    let hashed: HashMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(ground, &hashed), hashed);
    let numbers = HashMap::from([(7_u8, 1.5_f64), (9, -2.0)]);
    assert_eq!(round_trip(ground, &numbers), numbers);
    assert_eq!(round_trip(ground, &loaf()), loaf());
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn a_record_of_many_large_fields_passes(ground: &Ground) {
    let many: Record = (0..20_000)
        .map(|field| (format!("field-{field}"), "x".repeat(field % 100)))
        .collect();
    let cache: Cache = ground.builder().build().unwrap();
    cache
        .get("r", |_| Ok::<_, Infallible>(Some(many.clone())))
        .unwrap();
    let found = cache.get("r", |_| Ok::<_, Infallible>(None)).unwrap();
    assert!(found.is_hit());
    let found: BTreeMap<_, _> = found.record().unwrap().iter().map(own).collect();
    assert_eq!(found, many.iter().map(own).collect());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Narrow {
    stock: u32,
    color: Option<String>,
}

fn fields_that_the_type_does_not_know_are_passed_over(ground: &Ground) {
    let wide: Cache = ground.builder().build().unwrap();
    wide.get("r", |_| Ok::<_, Infallible>(Some(loaf())))
        .unwrap();
    let narrow: Cache<Narrow> = ground.builder().build().unwrap();
    let found = narrow.get("r", |_| Ok::<_, Infallible>(None)).unwrap();
    let expected = Narrow {
        stock: 42,
        color: None,
    };
    assert_eq!(**found.record().unwrap(), expected);
}

#[derive(Serialize, Deserialize)]
struct Nested {
    id: u32,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct AllNone {
    note: Option<String>,
}

fn what_is_not_flat_is_refused_by_the_name_of_the_field(ground: &Ground) {
    let nested = Nested {
        id: 1,
        tags: vec!["secret".into()],
    };
    assert_eq!(
        refusal(ground, nested),
        "the record's field `tags` cannot be stored: a hash field holds one flat value, no list, map or struct (bytes: `serde_bytes`)"
    );
    assert_eq!(
        refusal(ground, AllNone { note: None }),
        "the record cannot be stored: it has no field, and Redis keeps no empty hash"
    );
    assert_eq!(
        refusal(ground, vec![1, 2, 3]),
        "the record cannot be stored: a record is a struct or a map with flat fields"
    );
    assert_eq!(
        refusal(ground, "text".to_owned()),
        "the record cannot be stored: a record is a struct or a map with flat fields"
    );
}

on_both_stores! {
    a_struct_comes_back_to_the_last_bit,
    a_struct_is_kept_as_text,
    maps_and_records_are_records_too,
    a_record_of_many_large_fields_passes,
    fields_that_the_type_does_not_know_are_passed_over,
    what_is_not_flat_is_refused_by_the_name_of_the_field,
}
