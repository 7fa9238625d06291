//! Records of any shape, as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt::Debug,
};

use crate::{reasons::Reasons, support::Server};
use cache_aside::{Cache, Json, Source};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    lines: Vec<Line>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    product: String,
    pieces: u32,
    weight: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    New,
    Sent { day: u16, weights: Vec<f32> },
    Lost(Option<()>),
}

fn order() -> Json<Order> {
    Json(Order {
        customer: "c-7".into(),
        lines: vec![Line {
            product: "p-001".into(),
            pieces: 2,
            weight: None,
        }],
        state: State::New,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a loader")]
fn load_order(_: &str) -> Result<Option<Json<Order>>, Infallible> {
    Ok(Some(order()))
}

fn cached(server: &Server) -> Cache<Json<Order>> {
    let cache = server.builder().build().unwrap();
    cache.get("o-1", load_order).unwrap();
    cache
}

fn text(server: &Server) -> String {
    redis::cmd("HGET")
        .arg(&["test:o-1", "json"])
        .query(&mut server.connect())
        .unwrap()
}

#[test]
fn it_lies_in_redis_as_one_field_of_json() {
    let server = Server::start();
    let cache = cached(&server);
    let read: Value = serde_json::from_str(&text(&server)).unwrap();
    let line = json!({"product": "p-001", "pieces": 2, "weight": null});
    let expected = json!({"customer": "c-7", "lines": [line], "state": "New"});
    assert_eq!(read, expected);
    let fields: HashMap<String, String> = redis::cmd("HGETALL")
        .arg("test:o-1")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(fields.len(), 1);
    let found = cache.get("o-1", load_order).unwrap();
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(**found.record().unwrap(), order());
}

#[test]
fn an_update_changes_a_part_of_it() {
    let server = Server::start();
    let cache = cached(&server);
    let sold = |order: &Json<Order>| {
        let mut order = order.clone();
        order.lines[0].pieces += 1;
        Some(order)
    };
    assert!(cache.update("o-1", sold).unwrap());
    let found = cache.get("o-1", load_order).unwrap();
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(found.record().unwrap().lines[0].pieces, 3);
}

/// Sets a field as another program does.
fn set(server: &Server, field: &[u8], value: &[u8]) {
    let mut hset = redis::cmd("HSET");
    hset.arg("test:o-1").arg(field).arg(value);
    hset.exec(&mut server.connect()).unwrap();
}

#[test]
fn a_field_beside_it_ends_the_record() {
    let server = Server::start();
    for (field, value) in [("customer", &b"c-8"[..]), ("\u{1f956}", &[0xff])] {
        let cache = cached(&server);
        assert!(!cache.update_field("o-1", field, value).unwrap());
        let found = cache.get("o-1", load_order).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
}

#[test]
fn a_field_that_another_program_sets_beside_it_changes_nothing() {
    let server = Server::start();
    let cache = cached(&server);
    for (field, value) in [(&b"customer"[..], &b"c-8"[..]), (&[0xff], b"1")] {
        set(&server, field, value);
    }
    let found = cache.get("o-1", load_order).unwrap();
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(**found.record().unwrap(), order());
}

#[test]
fn what_is_not_its_json_is_a_miss_and_is_replaced() {
    let server = Server::start();
    let cache = cached(&server);
    let good = text(&server);
    let cut = &good[..good.len() - 1];
    let more = format!("{good} {{}}");
    let texts: [&[u8]; 7] = [
        b"",
        b"null",
        b"{}",
        cut.as_bytes(),
        more.as_bytes(),
        b"\"\xff\"",
        b"[[[[[[[[[[[[",
    ];
    for text in texts {
        cache.reset_stats();
        set(&server, b"json", text);
        let found = cache.get("o-1", load_order).unwrap();
        assert_eq!(found.source(), Source::Loaded, "{text:?}");
        assert_eq!(cache.stats().unreadable_entries, 1);
        // `update_field` does not write it.
        assert!(!cache.update_field("o-1", "json", text).unwrap());
        assert!(cache.peek("o-1").unwrap().is_none());
        let found = cache.get("o-1", load_order).unwrap();
        assert_eq!(found.source(), Source::Loaded);
        assert_eq!(cache.stats().unreadable_entries, 1);
        assert!(cache.get("o-1", load_order).unwrap().is_hit());
    }
    let direct = &mut server.connect();
    redis::pipe()
        .del("test:o-1")
        .hset("test:o-1", "customer", "c-7")
        .exec(direct)
        .unwrap();
    cache.reset_stats();
    let found = cache.get("o-1", load_order).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable_entries, 1);
}

/// The record that comes back from Redis, or why it was not stored.
fn round_trip<T>(value: &T) -> Result<T, String>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static + Clone + Debug,
{
    let server = Server::start();
    let reasons = Reasons::default();
    let builder = server.builder().observer(reasons.observer());
    let cache: Cache<Json<T>> = builder.build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(Json(value.clone())));
    cache.get("r", load).unwrap();
    if let Err((field, reason)) = reasons.take() {
        assert_eq!(field.as_deref(), Some("json"));
        return Err(reason);
    }
    let found = cache.get("r", load).unwrap();
    assert!(found.is_hit());
    Ok(found.record().unwrap().0.clone())
}

#[track_caller]
fn comes_back<T>(value: T)
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static + Clone + Debug + PartialEq,
{
    assert_eq!(round_trip(&value), Ok(value));
}

#[test]
fn numbers_come_back_to_the_last_bit() {
    comes_back((u64::MAX, i64::MIN, u128::MAX, i128::MIN));
    comes_back(json!([u64::MAX, i64::MIN, 1.0, 0.1]));
    // A fast, approximate parser, as JSON often gets, returns another last bit for this one.
    let hard = 0.009_271_428_571_428_571;
    for float in [hard, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0] {
        let back = round_trip(&vec![Some(float)]).unwrap()[0].unwrap();
        assert_eq!(back.to_bits(), f64::to_bits(float));
    }
}

#[test]
fn a_value_that_is_no_struct_comes_back() {
    comes_back(vec![1, 2]);
    comes_back("text".to_owned());
    comes_back(None::<u8>);
    comes_back(());
    comes_back(State::Lost(None));
    comes_back(Some(Some(1)));
    comes_back(BTreeMap::from([
        ("a".to_owned(), None),
        ("b".to_owned(), Some(1)),
    ]));
    comes_back(BTreeMap::from([(true, 'ä'), (false, '"')]));
}

#[track_caller]
fn refused<T: Serialize + DeserializeOwned + Send + Sync + 'static + Clone + Debug>(
    value: &T,
    reason: &str,
) {
    assert_eq!(round_trip(value).unwrap_err(), reason);
}

const NOT_FINITE: &str =
    "JSON has no NaN and no infinities, they would become `null`; use an `Option` or an enum";
const NULL_IN_SOME: &str = "a `Some` whose content is `null` in JSON would be read back as \
    `None`; use one `Option`, or an enum";
const DEEP: &str = "values that are nested deeper than 127 levels cannot be read back; flatten \
    them";

#[test]
fn what_json_would_change_is_refused_by_its_place() {
    let mut heavy = order().0;
    heavy.lines.push(Line {
        weight: Some(f64::NAN),
        ..heavy.lines[0].clone()
    });
    refused(&heavy, &format!("{NOT_FINITE} (at `lines[1].weight`)"));
    let state = State::Sent {
        day: 1,
        weights: vec![1.0, f32::NEG_INFINITY],
    };
    let sent = Order { state, ..order().0 };
    refused(&sent, &format!("{NOT_FINITE} (at `state.weights[1]`)"));
    let lost = BTreeMap::from([(7, State::Lost(Some(())))]);
    refused(&lost, &format!("{NULL_IN_SOME} (at `[…].Lost`)"));
    refused(&f64::INFINITY, NOT_FINITE);
    refused(&Some(None::<u8>), NULL_IN_SOME);
    refused(
        &(1, Some(Value::Null)),
        &format!("{NULL_IN_SOME} (at `[1]`)"),
    );
}

#[derive(Debug, Clone, Deserialize)]
struct Card(String);

impl Serialize for Card {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        let why = format!("card {} is invalid", self.0);
        Err(serde::ser::Error::custom(why))
    }
}

#[test]
fn of_an_error_of_the_types_own_serialize_only_the_place_is_told() {
    let card = Card("4111-1111".into());
    refused(&card, "its `Serialize` fails");
    let cards = BTreeMap::from([("alice@example.com".to_owned(), vec![card])]);
    refused(&cards, "its `Serialize` fails (at `[…][0]`)");
}

#[test]
fn keys_that_are_no_text_are_refused_by_their_place() {
    let pairs = BTreeMap::from([((1, 2), 3)]);
    let pairs = BTreeMap::from([("pairs".to_owned(), vec![pairs])]);
    refused(&pairs, "key must be a string (at `[…][0]`)");
}

/// `Pair` and `Struct` are in a nested list or object below their name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Deep {
    End,
    New(Box<Deep>),
    Pair(Box<Deep>, u8),
    Struct { next: Box<Deep> },
}

#[test]
fn nesting_comes_back_as_deep_as_it_is_read() {
    let list = |depth| (1..depth).fold(json!([]), |inner, _| json!([inner]));
    comes_back(list(127));
    let way = "[0]".repeat(127);
    refused(&list(128), &format!("{DEEP} (at `{way}`)"));

    let nest = |deep: fn(Box<Deep>) -> Deep, times| {
        (0..times).fold(Deep::End, |inner, _| deep(inner.into()))
    };
    comes_back(nest(Deep::New, 127));
    assert!(
        round_trip(&nest(Deep::New, 128))
            .unwrap_err()
            .starts_with(DEEP)
    );
    let both: [fn(Box<Deep>) -> Deep; 2] =
        [|next| Deep::Pair(next, 0), |next| Deep::Struct { next }];
    for deep in both {
        comes_back(nest(deep, 63));
        assert!(round_trip(&nest(deep, 64)).unwrap_err().starts_with(DEEP));
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Half {
    a: u8,
    #[serde(skip_serializing)]
    b: u8,
}

#[test]
fn what_its_type_does_not_read_back_is_refused() {
    refused(
        &Half { a: 1, b: 2 },
        "the type cannot deserialize what it serialized",
    );
}
