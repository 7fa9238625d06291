//! JSON that its type decodes as something else is not stored. JSON that only has another order is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
};

use crate::{
    reasons::{Reason, Reasons},
    support::Server,
};
use cache_aside::{Cache, Json};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

fn stored<T: Serialize + DeserializeOwned + Send + Sync + 'static>(value: T) -> Result<(), Reason> {
    let server = Server::start();
    let reasons = Reasons::default();
    let builder = server.builder().observer(reasons.observer());
    let cache: Cache<Json<T>> = builder.build().unwrap();
    let found = cache.get("r", |_| Ok::<_, Infallible>(Some(Json(value))));
    assert!(found.unwrap().record().is_some());
    reasons.take()
}

#[track_caller]
fn refused<T: Serialize + DeserializeOwned + Send + Sync + 'static>(value: T) {
    let (field, reason) = stored(value).expect_err("it was stored");
    assert_eq!(field.as_deref(), Some("json"));
    assert_eq!(
        reason,
        "it would be read back as something else: the type reads other values from its JSON \
            than it wrote (a `default` replaces a skipped value, `untagged` takes the first \
            variant that fits, a map keeps one of two values with the same key)"
    );
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default = "one", skip_serializing_if = "is_zero")]
    pieces: u32,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(pieces: &u32) -> bool {
    *pieces == 0
}

#[test]
fn what_is_skipped_and_comes_back_as_another_is_refused() {
    refused(vec![Line { pieces: 2 }, Line { pieces: 0 }]);
    stored(vec![Line { pieces: 2 }, Line { pieces: 1 }]).unwrap();
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Fits {
    One { a: String },
    Two { a: String, b: Option<String> },
}

#[test]
fn a_variant_that_comes_back_as_an_earlier_one_is_refused() {
    let (a, b) = ("1".to_owned(), Some("2".to_owned()));
    refused(Fits::Two { a: a.clone(), b });
    stored(Fits::One { a }).unwrap();
}

#[derive(Serialize, Deserialize)]
enum Renamed {
    A,
    #[serde(skip_deserializing)]
    B,
    #[serde(other)]
    Other,
}

#[test]
fn a_text_that_comes_back_as_another_is_refused() {
    refused([Renamed::A, Renamed::B]);
    stored([Renamed::A, Renamed::Other]).unwrap();
}

/// A map that is serialized from pairs.
struct Pairs(HashMap<String, u128>, Option<u128>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = self.0.iter().map(|(key, value)| (key, *value));
        let twice = self.0.keys().zip(self.1);
        serializer.collect_map(own.chain(twice))
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        Ok(Pairs(Deserialize::deserialize(deserializer)?, None))
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let map = |twice| Pairs(HashMap::from([("a".to_owned(), 1)]), twice);
    refused(map(Some(1)));
    refused(map(Some(2)));
    stored(map(None)).unwrap();
}

/// Larger than a float can distinguish.
#[derive(Serialize)]
struct Long(HashSet<u8>, u128);

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Long, D::Error> {
        let (set, long): (_, u128) = Deserialize::deserialize(deserializer)?;
        Ok(Long(set, long + 1))
    }
}

#[test]
fn the_last_digit_of_a_long_number_counts() {
    refused(Long((0..20).collect(), u128::MAX - 9));
}

#[derive(Serialize, Deserialize)]
struct Sets {
    tags: HashSet<String>,
    #[serde(serialize_with = "join", deserialize_with = "split")]
    joined: HashSet<String>,
    nested: BTreeMap<u8, HashMap<String, HashSet<(u8, String)>>>,
}

fn join<S: Serializer>(tags: &HashSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    serializer.serialize_str(&tags.join(","))
}

fn split<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashSet<String>, D::Error> {
    let tags = String::deserialize(deserializer)?;
    Ok(tags.split(',').map(ToOwned::to_owned).collect())
}

#[test]
fn what_is_written_in_another_order_each_time_comes_back() {
    let tags = || (0..20).map(|tag| format!("\"{tag}]}}\\"));
    let set = || (0..).zip(tags()).collect();
    let nested = tags().map(|tag| (tag, set())).collect();
    let sets = Sets {
        tags: tags().collect(),
        joined: tags().collect(),
        nested: BTreeMap::from([(1, nested)]),
    };
    stored(sets).unwrap();
}
