//! Records of types of one's own.

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt::Debug,
};

use cache_aside::{Cache, Error, Record};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use support::{Server, loaf};

/// Puts a record into Redis and reads it back from there.
fn round_trip<R>(server: &Server, record: &R) -> R
where
    R: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    let cache: Cache<R> = server.builder().build().unwrap();
    cache.invalidate("r").unwrap();
    let load = || Ok::<_, Infallible>(Some(record.clone()));
    cache.get("r", |_| load()).unwrap();
    let found = cache.get("r", |_| load()).unwrap();
    assert!(found.is_hit(), "{record:?} came back as another type");
    found.record().unwrap().as_ref().clone()
}

fn refusal<R: Serialize + DeserializeOwned>(server: &Server, record: R) -> String {
    let cache: Cache<R> = server.builder().build().unwrap();
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

#[test]
fn a_struct_comes_back_to_the_last_bit() {
    let server = Server::start();
    assert_eq!(round_trip(&server, &product()), product());
    for weight in [f64::MAX, f64::MIN_POSITIVE, -0.0, f64::INFINITY, 1e-310] {
        let back = round_trip(
            &server,
            &Product {
                weight,
                ..product()
            },
        );
        assert_eq!(back.weight.to_bits(), weight.to_bits());
    }
}

#[test]
fn a_struct_lies_in_redis_as_text() {
    let server = Server::start();
    round_trip(&server, &product());
    let fields: HashMap<String, String> = redis::cmd("HGETALL")
        .arg("test:r")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(fields["price"], "4294967295");
    assert_eq!(fields["organic"], "true");
    assert_eq!(fields["shelf"], "in the back");
    assert_eq!(fields["note"], "");
    assert!(
        !fields.contains_key("discount"),
        "None leaves its field out"
    );
}

#[test]
fn maps_and_records_are_records_too() {
    let server = Server::start();
    let pairs = || loaf().iter().map(own).collect::<Vec<_>>();
    let sorted: BTreeMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(&server, &sorted), sorted);
    let hashed: HashMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(&server, &hashed), hashed);
    let numbers = HashMap::from([(7_u8, 1.5_f64), (9, -2.0)]);
    assert_eq!(round_trip(&server, &numbers), numbers);
    assert_eq!(round_trip(&server, &loaf()), loaf());
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_record_of_many_large_fields_passes() {
    let server = Server::start();
    let many: Record = (0..20_000)
        .map(|field| (format!("field-{field}"), "x".repeat(field % 100)))
        .collect();
    let cache: Cache = server.builder().build().unwrap();
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

#[test]
fn fields_that_the_type_does_not_know_are_passed_over() {
    let server = Server::start();
    let wide: Cache = server.builder().build().unwrap();
    wide.get("r", |_| Ok::<_, Infallible>(Some(loaf())))
        .unwrap();
    let narrow: Cache<Narrow> = server.builder().build().unwrap();
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

#[test]
fn what_is_not_flat_is_refused_by_the_name_of_the_field() {
    let server = Server::start();
    let nested = Nested {
        id: 1,
        tags: vec!["secret".into()],
    };
    assert_eq!(
        refusal(&server, nested),
        "the record's field `tags` cannot be stored: a hash field holds one flat value, no list, map or struct (bytes: `serde_bytes`)"
    );
    assert_eq!(
        refusal(&server, AllNone { note: None }),
        "the record cannot be stored: it has no field, and Redis keeps no empty hash"
    );
    assert_eq!(
        refusal(&server, vec![1, 2, 3]),
        "the record cannot be stored: a record is a struct or a map with flat fields"
    );
    assert_eq!(
        refusal(&server, "text".to_owned()),
        "the record cannot be stored: a record is a struct or a map with flat fields"
    );
}
