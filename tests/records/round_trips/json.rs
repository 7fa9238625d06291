//! Nested records, as JSON.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use cache_aside::Json;
use proptest::{
    collection::{btree_map, hash_map, hash_set, vec},
    option,
    prelude::*,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    all_are_read_or_passed_over, all_come_back,
    values::{F32, F64, Integers, Shelf, bytes, int, integers, shelf, text},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    integers: Integers,
    lines: Vec<Line>,
    notes: HashMap<String, Option<String>>,
    weights: BTreeMap<i64, (F32, F64)>,
    tags: HashSet<String>,
    state: State,
    bytes: ByteBuf,
    delay: Duration,
    #[serde(flatten)]
    extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    product: String,
    price: Option<F64>,
    parts: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    New,
    Paid { cents: i128, by: char },
    Sent(String, Option<Shelf>),
    Back(Vec<Option<bool>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Extra {
    stock: u64,
    ratio: F32,
    mode: Mode,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Mode {
    Number(i64),
    Float(F64),
    Text(String),
}

fn line() -> BoxedStrategy<Line> {
    let line = |parts| {
        let price = option::of(F64::finite());
        (text(), price, parts).prop_map(|(product, price, parts)| Line {
            product,
            price,
            parts,
        })
    };
    let leaf = line(Just(Vec::new()).boxed());
    leaf.prop_recursive(4, 8, 3, move |inner| line(vec(inner, 0..3).boxed()))
        .boxed()
}

fn state() -> BoxedStrategy<State> {
    prop_oneof![
        Just(State::New),
        (int!(i128), any::<char>()).prop_map(|(cents, by)| State::Paid { cents, by }),
        (text(), option::of(shelf())).prop_map(|(to, shelf)| State::Sent(to, shelf)),
        vec(option::of(any::<bool>()), 0..4).prop_map(State::Back),
    ]
    .boxed()
}

fn extra() -> BoxedStrategy<Extra> {
    let mode = prop_oneof![
        int!(i64).prop_map(Mode::Number),
        F64::finite().prop_map(Mode::Float),
        text().prop_map(Mode::Text),
    ];
    let extra = (int!(u64), F32::finite(), mode);
    extra
        .prop_map(|(stock, ratio, mode)| Extra { stock, ratio, mode })
        .boxed()
}

fn order() -> BoxedStrategy<Order> {
    let collections = (
        vec(line(), 0..3),
        hash_map(text(), option::of(text()), 0..4),
        btree_map(int!(i64), (F32::finite(), F64::finite()), 0..4),
        hash_set(text(), 0..4),
    );
    let delay = (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n));
    let rest = (integers(), state(), bytes(), delay, extra());
    (collections, rest)
        .prop_map(|(collections, (integers, state, bytes, delay, extra))| {
            let (lines, notes, weights, tags) = collections;
            Order {
                integers,
                lines,
                notes,
                weights,
                tags,
                state,
                bytes,
                delay,
                extra,
            }
        })
        .boxed()
}

#[test]
fn nested_records_come_back_as_json() {
    all_come_back(order().prop_map(Json));
}

/// A flat record with fields that are not flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mixed {
    name: String,
    ratio: F64,
    #[serde(with = "cache_aside::as_json")]
    order: Order,
    #[serde(with = "cache_aside::as_json")]
    lines: Option<Vec<Line>>,
    #[serde(with = "cache_aside::as_json")]
    weights: BTreeMap<i64, (F32, F64)>,
}

fn mixed() -> BoxedStrategy<Mixed> {
    let weights = btree_map(int!(i64), (F32::finite(), F64::finite()), 0..4);
    let parts = (
        text(),
        F64::finite(),
        order(),
        option::of(vec(line(), 0..3)),
        weights,
    );
    parts
        .prop_map(|(name, ratio, order, lines, weights)| Mixed {
            name,
            ratio,
            order,
            lines,
            weights,
        })
        .boxed()
}

#[test]
fn nested_fields_come_back_as_json_beside_flat_ones() {
    all_come_back(mixed());
    all_are_read_or_passed_over(mixed());
}

#[test]
fn values_of_any_other_shape_come_back_as_json() {
    all_come_back(vec(option::of(text()), 0..20).prop_map(Json));
    all_come_back(option::of(F64::finite()).prop_map(Json));
    all_come_back((integers(), text()).prop_map(Json));
    all_come_back(btree_map(int!(i128), text(), 0..20).prop_map(Json));
}

#[test]
fn whatever_stands_in_a_hash_is_read_as_json_or_passed_over() {
    all_are_read_or_passed_over(order().prop_map(Json));
    all_are_read_or_passed_over(vec(option::of(text()), 0..4).prop_map(Json));
    all_are_read_or_passed_over(any::<u8>().prop_map(serde_json::Value::from).prop_map(Json));
}
