//! Records of user-defined types.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    fmt::Debug,
};

use crate::{environment::Environment, support::loaf};
use cache_aside::{Cache, Record, store::Entry};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
};

/// Puts a record into Redis and reads it back from there.
fn round_trip<R>(environment: &Environment, record: &R) -> R
where
    R: Serialize + DeserializeOwned + Send + Sync + 'static + Clone + Debug + PartialEq,
{
    let cache: Cache<R> = environment.builder().build().unwrap();
    cache.invalidate("r").unwrap();
    let load = || Ok::<_, Infallible>(Some(record.clone()));
    cache.get("r", |_| load()).unwrap();
    let found = cache.get("r", |_| load()).unwrap();
    assert!(found.is_hit(), "{record:?} came back as another type");
    found.record().unwrap().as_ref().clone()
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

fn a_struct_comes_back_to_the_last_bit(environment: &Environment) {
    assert_eq!(round_trip(environment, &product()), product());
    for weight in [f64::MAX, f64::MIN_POSITIVE, -0.0, f64::INFINITY, 1e-310] {
        let back = round_trip(
            environment,
            &Product {
                weight,
                ..product()
            },
        );
        assert_eq!(back.weight.to_bits(), weight.to_bits());
    }
}

fn a_struct_is_kept_as_text(environment: &Environment) {
    round_trip(environment, &product());
    let Entry::Record(fields) = environment.store().read("test:r").unwrap() else {
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

fn maps_and_records_are_records_too(environment: &Environment) {
    let pairs = || loaf().iter().map(own).collect::<Vec<_>>();
    let sorted: BTreeMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(environment, &sorted), sorted);
    let hashed: HashMap<String, String> = pairs().into_iter().collect();
    assert_eq!(round_trip(environment, &hashed), hashed);
    let numbers = HashMap::from([(7_u8, 1.5_f64), (9, -2.0)]);
    assert_eq!(round_trip(environment, &numbers), numbers);
    assert_eq!(round_trip(environment, &loaf()), loaf());
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn a_record_of_many_large_fields_passes(environment: &Environment) {
    let many: Record = (0..20_000)
        .map(|field| (format!("field-{field}"), "x".repeat(field % 100)))
        .collect();
    let cache: Cache = environment.builder().build().unwrap();
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

fn fields_that_the_type_does_not_know_are_passed_over(environment: &Environment) {
    let wide: Cache = environment.builder().build().unwrap();
    wide.get("r", |_| Ok::<_, Infallible>(Some(loaf())))
        .unwrap();
    let narrow: Cache<Narrow> = environment.builder().build().unwrap();
    let found = narrow.get("r", |_| Ok::<_, Infallible>(None)).unwrap();
    let expected = Narrow {
        stock: 42,
        color: None,
    };
    assert_eq!(**found.record().unwrap(), expected);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Event {
    Opened,
    Renamed {
        to: String,
        by: Option<Shelf>,
        #[serde(flatten)]
        rest: BTreeMap<String, Untold>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untold {
    Shelf(Shelf),
    Text(String),
}

/// Types that inspect a field before they decode it, as text.
fn enums_by_tag_or_by_fit_and_flattened_maps_come_back_where_they_hold_texts(
    environment: &Environment,
) {
    let renamed = Event::Renamed {
        to: "650".into(),
        by: Some(Shelf::Back),
        rest: BTreeMap::from([
            ("a".into(), Untold::Shelf(Shelf::Front)),
            ("b".into(), Untold::Text("front".into())),
        ]),
    };
    for event in [Event::Opened, renamed] {
        assert_eq!(round_trip(environment, &event), event);
    }
}

/// A number that decodes from any text or number, like those of decimal crates.
#[derive(Debug, Clone, PartialEq)]
struct Decimal(u32);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let found = serde_json::Value::deserialize(deserializer)?;
        let text = found.as_str().ok_or_else(|| de::Error::custom("no text"))?;
        text.parse().map(Decimal).map_err(de::Error::custom)
    }
}

fn a_number_that_reads_itself_from_a_text_comes_back(environment: &Environment) {
    let record = BTreeMap::from([("price".to_owned(), Decimal(650))]);
    assert_eq!(round_trip(environment, &record), record);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::option_option, reason = "this is what is tested")]
struct Twofold {
    id: u8,
    note: Option<Option<String>>,
}

fn an_option_in_an_option_comes_back_where_it_holds_something(environment: &Environment) {
    for note in [None, Some(Some(String::new()))] {
        let record = Twofold { id: 1, note };
        assert_eq!(round_trip(environment, &record), record);
    }
}

/// Serialized in another order each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tagged {
    #[serde(serialize_with = "join", deserialize_with = "split")]
    tags: HashSet<String>,
}

fn join<S: Serializer>(tags: &HashSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    serializer.serialize_str(&tags.join(","))
}

fn split<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashSet<String>, D::Error> {
    let tags = String::deserialize(deserializer)?;
    Ok(tags.split(',').map(ToOwned::to_owned).collect())
}

fn a_set_that_a_type_joins_to_a_text_comes_back(environment: &Environment) {
    let tags = (0..20).map(|tag| tag.to_string()).collect();
    let record = Tagged { tags };
    assert_eq!(round_trip(environment, &record), record);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Blank {
    id: u8,
    #[serde(deserialize_with = "none_if_blank", default)]
    note: Option<String>,
}

fn none_if_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn what_a_type_reads_from_a_text_is_its_own_affair(environment: &Environment) {
    let note = Some(String::new());
    let back = round_trip(environment, &Blank { id: 1, note });
    assert_eq!(back, Blank { id: 1, note: None });
}

on_both_stores! {
    a_struct_comes_back_to_the_last_bit,
    a_struct_is_kept_as_text,
    maps_and_records_are_records_too,
    a_record_of_many_large_fields_passes,
    fields_that_the_type_does_not_know_are_passed_over,
    enums_by_tag_or_by_fit_and_flattened_maps_come_back_where_they_hold_texts,
    a_number_that_reads_itself_from_a_text_comes_back,
    an_option_in_an_option_comes_back_where_it_holds_something,
    a_set_that_a_type_joins_to_a_text_comes_back,
    what_a_type_reads_from_a_text_is_its_own_affair,
}
