//! Records that a flat hash cannot hold: for each the cache names the field and the reason, and
//! writes nothing.
//!
//! A record that would come back changed is one of them, because the change would stay unnoticed.
//! `unstorable_rows.rs` tests that such a record is returned all the same.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    time::{Duration, SystemTime},
};

use crate::{reasons::Reasons, support::Server};
use cache_aside::{Cache, Error, Record, TtlRemaining};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

/// The field, where one is named, and the reason.
fn refusal<R: Serialize + DeserializeOwned + Send + Sync + 'static>(
    record: R,
) -> (Option<String>, String) {
    let server = Server::start();
    let reasons = Reasons::default();
    let builder = server.builder().observer(reasons.observer());
    let cache: Cache<R> = builder.build().unwrap();
    let loaded = cache.get("r", |_| Ok::<_, Infallible>(Some(record)));
    assert!(loaded.unwrap().record().is_some());
    assert_eq!(cache.ttl_remaining("r").unwrap(), TtlRemaining::NoSuchKey);
    reasons.take().expect_err("it was stored")
}

#[track_caller]
fn refused<R: Serialize + DeserializeOwned + Send + Sync + 'static>(
    record: R,
    field: &str,
    reason: &str,
) {
    assert_eq!(refusal(record), (Some(field.to_owned()), reason.to_owned()));
}

#[track_caller]
fn refused_whole<R: Serialize + DeserializeOwned + Send + Sync + 'static>(record: R, reason: &str) {
    assert_eq!(refusal(record), (None, reason.to_owned()));
}

/// A record with the field `it`.
#[derive(Serialize, Deserialize)]
struct With<T> {
    id: u8,
    it: T,
}

fn with<T>(it: T) -> With<T> {
    With { id: 1, it }
}

#[derive(Serialize, Deserialize)]
struct Nothing;

#[derive(Serialize, Deserialize)]
enum Content {
    New(u8),
    Pair(u8, u8),
    Struct { a: u8 },
}

const NESTED: &str = "a hash field holds one flat value, not a list, map or struct; \
    `serde_bytes` stores bytes, `as_json` stores such a field, and `Json` a whole record (feature \
    `json`)";
const CONTENTS: &str = "a hash field holds the name of an enum's variant, not its contents; \
    `as_json` and `Json` store both (feature `json`)";
const NOTHING: &str = "it has no value; leave it out with `#[serde(skip)]`";
const NO_RECORD: &str = "a record is a struct or a map with flat fields; \
    `Json` stores any other value (feature `json`)";
const NO_NAME: &str = "a map's key must be text or a number, because it becomes the name of a \
    field";
const NONE: &str = "it is `None` and would be read back as something else (a map loses a \
    `None`, a `default` replaces it); `Json` keeps it (feature `json`)";
const CHANGED: &str = "it would be read back as something else: a hash does not distinguish \
    numbers from text, and the type must know which it is (`untagged`, `flatten`, `tag`); \
    `Json` distinguishes them (feature `json`)";
const READ_AS_ANOTHER: &str = "it would be read back as something else: the type reads other \
    values from its fields than it wrote (`untagged` takes the first variant that fits)";
const EMPTY: &str = "its parent is `None` and would be read back as an empty `Some`; flatten \
    the parent without the `Option`";
const OWN_ERROR: &str = "its `Serialize` fails";
const UNREADABLE: &str = "the type cannot deserialize what it serialized";

#[test]
fn a_nested_field_is_refused() {
    refused(with(vec!["a".to_owned()]), "it", NESTED);
    refused(with(vec![0_u8]), "it", NESTED);
    refused(with([0_u8; 4]), "it", NESTED);
    refused(with((1, 2)), "it", NESTED);
    refused(with(Some(with(1))), "it", NESTED);
    refused(with(BTreeMap::from([(1, 2)])), "it", NESTED);
    refused(with(Duration::from_secs(1)), "it", NESTED);
    refused(with(SystemTime::UNIX_EPOCH), "it", NESTED);
    refused_whole(BTreeMap::from([("it".to_owned(), [1])]), NESTED);
}

#[test]
fn an_enum_with_contents_is_refused() {
    refused(with(Content::New(1)), "it", CONTENTS);
    refused(with(Content::Pair(1, 2)), "it", CONTENTS);
    refused(with(Content::Struct { a: 1 }), "it", CONTENTS);
}

#[test]
fn a_field_that_holds_nothing_is_refused() {
    refused(with(()), "it", NOTHING);
    refused(with(Nothing), "it", NOTHING);
    refused(with(Some(())), "it", NOTHING);
}

#[test]
fn what_is_no_struct_and_no_map_is_refused() {
    refused_whole(vec![1, 2, 3], NO_RECORD);
    refused_whole("text".to_owned(), NO_RECORD);
    refused_whole(1_u128, NO_RECORD);
    refused_whole((), NO_RECORD);
    refused_whole(None::<With<u8>>, NO_RECORD);
    refused_whole(Content::Struct { a: 1 }, NO_RECORD);
}

#[test]
fn a_map_that_would_lose_all_its_fields_is_refused() {
    refused_whole(BTreeMap::from([("note".to_owned(), None::<u8>)]), NONE);
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    refused_whole(BTreeMap::from([((1, 2), 3)]), NO_NAME);
    refused_whole(BTreeMap::from([(None::<u8>, 3)]), NO_NAME);
}

#[test]
fn none_within_some_is_refused() {
    let reason = "`Some(None)` would be read back as `None`; use one `Option`, or an enum";
    refused(with(Some(None::<u8>)), "it", reason);
}

#[derive(Serialize, Deserialize)]
struct Replaced {
    id: u8,
    #[serde(default = "yes")]
    organic: Option<bool>,
    #[serde(default = "one", skip_serializing_if = "is_zero")]
    stock: u32,
}

#[expect(clippy::unnecessary_wraps, reason = "serde asks so")]
fn yes() -> Option<bool> {
    Some(true)
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(stock: &u32) -> bool {
    *stock == 0
}

#[test]
fn a_field_that_is_left_out_and_comes_back_as_another_is_refused() {
    let map = BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1))]);
    refused_whole(map, NONE);
    let none = Replaced {
        id: 1,
        organic: None,
        stock: 1,
    };
    refused(none, "organic", NONE);
    let skipped = Replaced {
        id: 1,
        organic: yes(),
        stock: 0,
    };
    let reason = "it is left out and would be read back as its `default`; skip it only where it \
        equals that";
    refused(skipped, "stock", reason);
}

#[derive(Serialize, Deserialize)]
struct Flattened<T> {
    id: u8,
    note: Option<u8>,
    #[serde(flatten)]
    it: T,
}

fn flattened<T>(it: T) -> Flattened<T> {
    let (id, note) = (1, None);
    Flattened { id, note, it }
}

#[test]
fn a_flattened_part_that_would_change_is_refused() {
    let texts = HashMap::from([("a".to_owned(), "1".to_owned())]);
    let server = Server::start();
    let cache: Cache<Flattened<HashMap<String, String>>> = server.builder().build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(flattened(texts.clone())));
    cache.get("r", load).unwrap();
    assert!(cache.get("r", load).unwrap().is_hit());

    refused_whole(flattened(BTreeMap::from([("a".to_owned(), 1)])), CHANGED);
    // Serde itself skips what it cannot decode here, and takes the whole for `None`.
    let some = Some(BTreeMap::from([("a".to_owned(), 1)]));
    refused_whole(flattened(some), CHANGED);
    let none = HashMap::from([("a".to_owned(), None::<String>)]);
    refused_whole(flattened(none), NONE);
}

#[derive(Serialize, Deserialize)]
struct Noted {
    x: Option<String>,
}

#[test]
fn a_flattened_none_that_would_come_back_as_some_is_refused() {
    refused_whole(flattened(None::<Noted>), EMPTY);
    let server = Server::start();
    let cache: Cache<Flattened<Option<Noted>>> = server.builder().build().unwrap();
    let some = |x| flattened(Some(Noted { x }));
    for record in [some(None), some(Some("1".into()))] {
        cache
            .get("r", |_| Ok::<_, Infallible>(Some(record)))
            .unwrap();
        assert!(cache.peek("r").unwrap().is_some());
        cache.invalidate("r").unwrap();
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Fits {
    One { a: String },
    Two { a: String, b: Option<String> },
}

#[test]
fn where_no_number_changes_the_reason_speaks_of_none() {
    let (a, b) = ("1".to_owned(), Some("2".to_owned()));
    refused(Fits::Two { a, b }, "b", READ_AS_ANOTHER);
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Untold {
    Number(u32),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NumberOnly {
    Integer(i64),
    Float(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Event {
    Named { name: String },
    Priced { name: String, price: u32 },
}

#[test]
fn a_number_that_would_come_back_as_text_is_refused() {
    refused(with(Untold::Number(650)), "it", CHANGED);
    refused(with(NumberOnly::Float(1.5)), "it", CHANGED);
    refused(with(json!(650)), "it", CHANGED);
    refused(with(json!(true)), "it", CHANGED);
    refused_whole(BTreeMap::from([(Untold::Number(7), 'a')]), CHANGED);
    let name = "Rye".to_owned();
    refused(Event::Priced { name, price: 1 }, "price", CHANGED);
    let values = json!({"a": "text", "b": 1.5});
    refused_whole(values, CHANGED);
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let reason = "the record has two fields with this name, and a hash can hold only one";
    let record: Record = serde_json::from_str(r#"{"a": "1", "b": "2", "a": "3"}"#).unwrap();
    refused_whole(record, reason);
    let own = HashMap::from([("note".to_owned(), "1".to_owned())]);
    refused_whole(flattened(own), reason);
}

#[derive(Serialize, Deserialize)]
struct OneWay {
    id: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(deserialize_with = "one_digit")]
    stock: u8,
}

fn one_digit<'de, D: serde::Deserializer<'de>>(number: D) -> Result<u8, D::Error> {
    let number = u8::deserialize(number)?;
    if number > 9 {
        return Err(serde::de::Error::custom("secret"));
    }
    Ok(number)
}

#[test]
fn what_its_own_type_does_not_read_back_is_refused() {
    let record = || OneWay {
        id: 1,
        note: "x".into(),
        stock: 1,
    };
    let missing = "it is left out, and the type cannot be deserialized without it; give it \
        `#[serde(default)]`";
    let without = OneWay {
        note: String::new(),
        ..record()
    };
    refused(without, "note", missing);
    refused(
        OneWay {
            stock: 10,
            ..record()
        },
        "stock",
        UNREADABLE,
    );
}

/// A value whose `Serialize` fails, with the value in its error.
struct Card {
    number: &'static str,
    /// Whether it fails after an error of the crate's, which it wraps.
    wraps: bool,
}

impl Serialize for Card {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.number;
        let invalid = |why| serde::ser::Error::custom(format!("card {number} is invalid{why}"));
        if self.wraps {
            let nested = [number].serialize(serializer);
            return nested.map_err(|error| invalid(format!(": {error}")));
        }
        Err(invalid(String::new()))
    }
}

impl<'de> Deserialize<'de> for Card {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Card, D::Error> {
        Err(serde::de::Error::custom("it is never stored"))
    }
}

#[test]
fn an_error_of_the_types_own_serialize_is_not_repeated() {
    for wraps in [false, true] {
        let card = || Card {
            number: "4111-1111",
            wraps,
        };
        refused(with(card()), "it", OWN_ERROR);
        refused(with(Some(card())), "it", OWN_ERROR);
        refused_whole(card(), OWN_ERROR);
        refused_whole(BTreeMap::from([(1, card())]), OWN_ERROR);
        refused_whole(vec![card()], NO_RECORD);
    }
    let server = Server::start();
    let cache: Cache<With<Option<Card>>> = server.builder().build().unwrap();
    cache
        .get("r", |_| Ok::<_, Infallible>(Some(with(None))))
        .unwrap();
    let card = Card {
        number: "4111-1111",
        wraps: false,
    };
    let mut card = Some(card);
    let update = cache.update("r", |_| Some(with(card.take())));
    assert_eq!(
        update.unwrap_err().to_string(),
        format!("the record's field `it` cannot be stored: {OWN_ERROR}")
    );
}

/// They are content, as `alice@example.com` in a map from addresses to names.
#[test]
fn the_keys_of_a_map_are_not_named() {
    refused_whole(
        BTreeMap::from([("alice@example.com".to_owned(), [1])]),
        NESTED,
    );
    let own = Record::from([("__cache_aside_alice", "1")]);
    let reason = "names that begin with `__cache_aside` are reserved for the cache";
    refused_whole(own, reason);
}

#[test]
fn an_update_to_a_record_that_would_change_is_refused_and_the_cached_one_stays() {
    let server = Server::start();
    let cache: Cache<With<Untold>> = server.builder().build().unwrap();
    let text = || with(Untold::Text("1".into()));
    let load = |_: &str| Ok::<_, Infallible>(Some(text()));
    cache.get("r", load).unwrap();
    let update = cache.update("r", |_| Some(with(Untold::Number(1))));
    assert!(matches!(update, Err(Error::InvalidRecord { field: Some(name), .. }) if name == "it"));
    let found = cache.get("r", load).unwrap();
    assert!(found.is_hit());
    assert!(matches!(&found.record().unwrap().it, Untold::Text(text) if text == "1"));
}

#[test]
fn a_refusal_says_which_field_and_what_to_do() {
    let server = Server::start();
    let cache: Cache<With<Untold>> = server.builder().build().unwrap();
    let text = with(Untold::Text("secret".into()));
    cache.get("r", |_| Ok::<_, Infallible>(Some(text))).unwrap();
    let refused = cache.update("r", |_| Some(with(Untold::Number(1))));
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("the record's field `it` cannot be stored: {CHANGED}")
    );
}
