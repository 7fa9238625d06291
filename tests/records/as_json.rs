//! Single fields that are stored as JSON.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
};

use crate::{reasons::Reasons, support::Server};
use cache_aside::{Cache, Error, Json, Memory, Source};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    stock: u32,
    #[serde(with = "cache_aside::as_json")]
    tags: HashSet<String>,
    #[serde(with = "cache_aside::as_json")]
    sizes: Option<Vec<(u32, f64)>>,
    #[serde(with = "cache_aside::as_json")]
    state: State,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    New,
    Sold {
        to: String,
        days: BTreeMap<u8, i128>,
    },
}

fn product() -> Product {
    let days = BTreeMap::from([(1, i128::MAX), (2, -1)]);
    Product {
        name: "Rye Loaf".to_owned(),
        stock: 42,
        tags: ["bread", "\"quoted\"", "\u{1f35e}"]
            .map(str::to_owned)
            .into(),
        sizes: Some(vec![(30, 0.1), (12, f64::MIN_POSITIVE)]),
        state: State::Sold {
            to: "c-7".to_owned(),
            days,
        },
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a loader")]
fn load(_: &str) -> Result<Option<Product>, Infallible> {
    Ok(Some(product()))
}

/// Runs the test on a Redis and on a store in memory.
fn on_both(test: impl Fn(&Cache<Product>)) {
    let server = Server::start();
    test(&server.builder().build().unwrap());
    let memory = Cache::builder(Memory::new(100)).prefix("test:");
    test(&memory.build().unwrap());
}

fn cached(cache: &Cache<Product>) -> Product {
    let found = cache.peek("p").unwrap().expect("it is cached");
    Product::clone(found.record().unwrap())
}

#[test]
fn each_comes_back_as_it_was_and_the_other_fields_stay_flat() {
    on_both(|cache| {
        for sizes in [product().sizes, None, Some(Vec::new())] {
            let product = Product { sizes, ..product() };
            cache.invalidate("p").unwrap();
            let load = |_: &str| Ok::<_, Infallible>(Some(product.clone()));
            cache.get("p", load).unwrap();
            assert_eq!(cached(cache), product);
        }
        let names = ["name", "stock", "sizes", "state"];
        let fields = cache.get_fields("p", &names).unwrap().unwrap();
        let fields = fields.record().unwrap();
        assert_eq!((&fields["name"], &fields["stock"]), ("Rye Loaf", "42"));
        assert_eq!(&fields["sizes"], "[]");
        let max = i128::MAX;
        let state = format!(r#"{{"Sold":{{"to":"c-7","days":{{"1":{max},"2":-1}}}}}}"#);
        assert_eq!(fields["state"], state);
        assert_eq!(cache.stats().unstorable_records, 0);
    });
}

#[test]
fn an_update_changes_a_part_of_it() {
    on_both(|cache| {
        cache.get("p", load).unwrap();
        let changed = cache.update("p", |product| {
            let mut product = product.clone();
            product.tags.remove("bread");
            product.state = State::New;
            Some(product)
        });
        assert!(changed.unwrap());
        assert_eq!(cached(cache).tags.len(), 2);
        assert_eq!(cached(cache).state, State::New);
    });
}

#[test]
fn update_field_takes_its_json_and_removes_the_record_at_any_other_text() {
    on_both(|cache| {
        for (field, json) in [
            ("tags", r#"["new"]"#),
            ("sizes", "null"),
            ("sizes", " [[1, 2.5]] "),
            ("state", r#""New""#),
            ("stock", "41"),
        ] {
            cache.get("p", load).unwrap();
            assert!(cache.update_field("p", field, json).unwrap(), "{field}");
        }
        let found = cached(cache);
        assert_eq!(found.tags, HashSet::from(["new".to_owned()]));
        assert_eq!(found.sizes, Some(vec![(1, 2.5)]));
        assert_eq!((found.state, found.stock), (State::New, 41));
        for (field, text) in [
            ("tags", &b"new"[..]),
            ("tags", b"[1]"),
            ("tags", b"[\"new\""),
            ("tags", b"[\"\xff\"]"),
            ("sizes", b""),
            ("state", b"New"),
        ] {
            cache.get("p", load).unwrap();
            assert!(!cache.update_field("p", field, text).unwrap());
            assert!(cache.peek("p").unwrap().is_none());
        }
    });
}

#[test]
fn an_entry_without_the_field_or_with_another_text_is_a_miss() {
    let server = Server::start();
    let cache: Cache<Product> = server.builder().build().unwrap();
    for words in [
        &["HDEL", "test:p", "sizes"][..],
        &["HSET", "test:p", "sizes", "[1]"],
    ] {
        cache.reset_stats();
        cache.get("p", load).unwrap();
        let mut request = redis::cmd(words[0]);
        request
            .arg(&words[1..])
            .exec(&mut server.connect())
            .unwrap();
        assert_eq!(cache.get("p", load).unwrap().source(), Source::Loaded);
        assert_eq!(cache.stats().unreadable_entries, 1);
    }
}

/// A record with the field `it` as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
struct With<T> {
    id: u8,
    #[serde(with = "cache_aside::as_json")]
    it: T,
}

/// Why it is not stored, as an error for tests.
fn refusal<T>(it: T) -> (Option<String>, String)
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let reasons = Reasons::default();
    let builder = Cache::<With<T>>::builder(Memory::new(10)).prefix("test:");
    let cache = builder.observer(reasons.observer()).build().unwrap();
    let with = With { id: 1, it };
    let found = cache.get("r", |_| Ok::<_, Infallible>(Some(with))).unwrap();
    assert!(found.record().is_some() && cache.peek("r").unwrap().is_none());
    reasons.take().expect_err("it was stored")
}

#[test]
fn what_would_come_back_changed_is_not_stored_and_the_reason_names_the_field() {
    let (field, reason) = refusal(
        vec![("weight", 1.0), ("ratio", f64::NAN)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Vec<_>>(),
    );
    assert_eq!(field.as_deref(), Some("it"));
    assert!(
        reason.contains("NaN") && reason.ends_with("(at `[1][1]`)"),
        "{reason}"
    );
    let (field, reason) = refusal(vec![Some(()), None]);
    assert_eq!(field.as_deref(), Some("it"));
    assert!(
        reason.contains("`Some`") && reason.ends_with("(at `[0]`)"),
        "{reason}"
    );
    let (field, reason) = refusal(Some(None::<u8>));
    assert_eq!(field.as_deref(), Some("it"));
    assert!(reason.contains("`Some`"), "{reason}");
    let secret = "p4ssw0rd";
    let key = HashMap::from([(secret.to_owned(), f32::INFINITY)]);
    let (_, reason) = refusal(key);
    assert!(!reason.contains(secret), "{reason}");
}

/// `untagged` reads the first variant that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Float(f64),
    Number(u64),
}

#[test]
fn a_value_that_its_own_type_reads_as_another_is_not_stored() {
    let (field, reason) = refusal(vec![Loose::Number(u64::MAX)]);
    assert_eq!(field.as_deref(), Some("it"));
    assert!(
        reason.contains("reads other values from its JSON"),
        "{reason}"
    );
}

#[test]
fn fail_on_unstorable_returns_the_same_reason() {
    let builder = Cache::<With<f64>>::builder(Memory::new(10)).prefix("test:");
    let cache = builder.fail_on_unstorable(true).build().unwrap();
    let load = |_: &str| {
        Ok::<_, Infallible>(Some(With {
            id: 1,
            it: f64::NAN,
        }))
    };
    let refused = cache.get("r", load).unwrap_err();
    assert!(matches!(refused, Error::InvalidRecord { field: Some(field), .. } if field == "it"));
}

fn comes_back<R>(record: &R)
where
    R: Serialize + DeserializeOwned + Send + Sync + Clone + PartialEq + std::fmt::Debug + 'static,
{
    let builder = Cache::<R>::builder(Memory::new(10)).prefix("test:");
    let cache = builder.fail_on_unstorable(true).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(record.clone()));
    cache.get("r", load).unwrap();
    let found = cache.get("r", load).unwrap();
    assert!(found.is_hit());
    assert_eq!(**found.record().unwrap(), *record);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LeftOut {
    id: u8,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "cache_aside::as_json"
    )]
    tags: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened {
    name: String,
    #[serde(flatten)]
    inner: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tags {
    #[serde(with = "cache_aside::as_json")]
    tags: Vec<u8>,
}

#[test]
fn it_goes_with_the_other_attributes_of_serde() {
    for tags in [None, Some(vec![1, 2])] {
        comes_back(&LeftOut { id: 1, tags });
    }
    let inner = Tags { tags: vec![1, 2] };
    let name = "Rye Loaf".to_owned();
    comes_back(&Flattened {
        name,
        inner: inner.clone(),
    });
    // A string of JSON within JSON.
    comes_back(&Json(vec![inner]));
    comes_back(&With {
        id: 1,
        it: vec![Json(1)],
    });
    comes_back(&With { id: 1, it: () });
    comes_back(&With {
        id: 1,
        it: "text".to_owned(),
    });
}

#[test]
fn left_out_is_left_out() {
    let memory = Memory::new(10);
    let cache: Cache<LeftOut> = Cache::builder(&memory).prefix("test:").build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Some(LeftOut { id: 1, tags: None }));
    cache.get("r", load).unwrap();
    let fields = cache.get_fields("r", &["id", "tags"]).unwrap().unwrap();
    assert_eq!(fields.record().unwrap().keys().collect::<Vec<_>>(), ["id"]);
}
