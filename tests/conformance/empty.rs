//! Records that have nothing to store: they are cached as an entry with a marker.

use std::{collections::BTreeMap, convert::Infallible, fmt::Debug, thread, time::Duration};

use cache_aside::{
    Cache, Record, Source,
    store::{Entry, Fields, Recheck, Token},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    environment::{Environment, keys, set},
    support::{load_nothing, until},
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Settings {
    theme: Option<String>,
    page_size: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Within(Option<Settings>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    name: String,
}

const MARKER: &str = "__cache_aside_empty";

fn marker() -> Entry {
    Entry::Record(vec![(MARKER.into(), "1".into())])
}

fn entry(environment: &Environment) -> Entry {
    environment.store().read("test:r").unwrap()
}

/// Puts this entry there as another program does.
fn put(environment: &Environment, fields: &[(&str, &str)]) {
    let (store, token) = (environment.store(), Token::random());
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let fields: Fields = fields.collect();
    let (keys, long) = (keys("r"), Duration::from_secs(60));
    store.invalidate(&keys).unwrap();
    store.acquire(&keys, token, long, Recheck::Never).unwrap();
    assert!(store.fill(&keys, token, long, &fields).unwrap());
}

fn finds<R: Clone>(row: &R) -> impl Fn(&str) -> Result<Option<R>, Infallible> {
    move |_| Ok(Some(row.clone()))
}

fn is_a_hit<R>(environment: &Environment, row: &R)
where
    R: Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let cache: Cache<R> = environment.builder().build().unwrap();
    let other = || -> Result<Option<R>, Infallible> { panic!("{row:?} was not cached") };
    let found = cache.get("r", finds(row)).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(entry(environment), marker());
    assert!(!environment.is_held("r"));
    let found = [
        cache.get("r", |_| other()).unwrap(),
        cache.peek("r").unwrap().unwrap(),
        cache
            .get_many(["r"], |_| other().map(|row| row.map(|row| ("r", row))))
            .unwrap()
            .remove(0),
    ];
    for found in found {
        assert_eq!(found.source(), Source::Hit);
        assert_eq!(**found.record().unwrap(), *row);
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits, stats.negative_hits), (1, 2, 0));
    assert_eq!((stats.unstorable_records, stats.unreadable_entries), (0, 0));
    cache.invalidate("r").unwrap();
}

fn a_record_that_has_nothing_to_store_is_a_hit(environment: &Environment) {
    is_a_hit(environment, &Record::new());
    is_a_hit(environment, &Settings::default());
    is_a_hit(environment, &BTreeMap::<String, String>::new());
    is_a_hit(environment, &Unit);
    is_a_hit(environment, &Strict { note: None });
    is_a_hit(environment, &Within(Some(Settings::default())));
}

fn it_is_kept_near(environment: &Environment) {
    let builder = environment.builder().near_cache(100);
    let cache: Cache = builder.build().unwrap();
    until(|| cache.stats().tracking_live);
    until(|| {
        let found = cache.get("r", finds(&Record::new())).unwrap();
        assert_eq!(**found.record().unwrap(), Record::new());
        found.source() == Source::Near
    });
}

fn it_is_not_taken_for_no_such_record(environment: &Environment) {
    let (ttl, grace) = (Duration::from_millis(20), Duration::from_secs(60));
    let builder = environment.builder().ttl(ttl).grace(grace);
    let cache: Cache = builder.negative_ttl(ttl).build().unwrap();
    cache.get("r", finds(&Record::new())).unwrap();
    // Such an entry has a grace, which "no such record" has not.
    assert!(cache.expire("r").unwrap());
    thread::sleep(ttl);
    let down = |_: &str| Err::<Option<Record>, _>("the primary is down");
    let found = cache.get("r", down).unwrap();
    assert!(found.is_stale() && found.record().is_some());
    cache
        .get_many(["s"], |_| Ok::<_, Infallible>([("s", Record::new())]))
        .unwrap();
    assert!(cache.peek("s").unwrap().unwrap().record().is_some());
    cache.get("t", load_nothing).unwrap();
    assert_ne!(environment.store().read("test:t").unwrap(), marker());
}

fn a_field_that_it_gets_takes_the_place_of_the_marker(environment: &Environment) {
    let cache = environment.cache();
    let one = || Entry::Record(vec![("stock".into(), "41".into())]);
    let ways: [fn(&Cache) -> bool; 2] = [
        |cache| cache.update_field("r", "stock", "41").unwrap(),
        |cache| {
            let fill = |_: &Record| Some(Record::from([("stock", "41")]));
            cache.update("r", fill).unwrap()
        },
    ];
    for change in ways {
        cache.get("r", finds(&Record::new())).unwrap();
        assert_eq!(entry(environment), marker());
        assert!(change(&cache));
        assert_eq!(entry(environment), one());
        cache.invalidate("r").unwrap();
    }
    let cache: Cache<Settings> = environment.builder().build().unwrap();
    cache.get("r", finds(&Settings::default())).unwrap();
    assert!(cache.update_field("r", "page_size", "20").unwrap());
    let found = cache.get("r", load_no_settings).unwrap();
    assert_eq!(found.record().unwrap().page_size, Some(20));
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns this")]
fn load_no_settings(_: &str) -> Result<Option<Settings>, Infallible> {
    Ok(None)
}

fn an_update_that_leaves_no_field_leaves_the_marker(environment: &Environment) {
    let cache: Cache<Settings> = environment.builder().build().unwrap();
    let (theme, page_size) = (Some("dark".to_owned()), Some(20));
    cache
        .get("r", finds(&Settings { theme, page_size }))
        .unwrap();
    assert!(cache.update("r", |_| Some(Settings::default())).unwrap());
    assert_eq!(entry(environment), marker());
    // It changes nothing of an empty record, and is an update all the same.
    assert!(cache.update("r", |_| Some(Settings::default())).unwrap());
    assert_eq!(entry(environment), marker());
    let found = cache.get("r", load_no_settings).unwrap();
    assert!(found.is_hit());
    assert_eq!(**found.record().unwrap(), Settings::default());
}

fn a_field_that_another_program_adds_to_it_belongs_to_the_record(environment: &Environment) {
    let cache = environment.cache();
    cache.get("r", finds(&Record::new())).unwrap();
    let store = environment.store();
    store
        .update(&keys("r"), None, &mut |_| Some(set("stock", b"41")))
        .unwrap();
    let found = cache.get("r", load_nothing).unwrap();
    assert!(found.is_hit());
    // The marker is not among them.
    assert_eq!(**found.record().unwrap(), Record::from([("stock", "41")]));
    assert!(cache.update("r", |record| Some(record.clone())).unwrap());
    let one = Entry::Record(vec![("stock".into(), "41".into())]);
    assert_eq!(entry(environment), one);
}

fn a_type_that_needs_a_field_passes_it_over(environment: &Environment) {
    put(environment, &[(MARKER, "1")]);
    let cache: Cache<Named> = environment.builder().build().unwrap();
    assert!(cache.peek("r").unwrap().is_none());
    let name = "Rye".to_owned();
    let found = cache.get("r", finds(&Named { name })).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable_entries, 1);
    assert!(
        cache
            .get("r", |_| -> Result<Option<Named>, Infallible> { panic!() })
            .unwrap()
            .is_hit()
    );
}

/// An older version reads the marker in this way.
fn an_entry_with_a_reserved_name_that_is_not_known_is_unreadable(environment: &Environment) {
    let cache = environment.cache();
    let entries: [&[(&str, &str)]; 4] = [
        &[("__cache_aside_later", "1")],
        &[("__cache_aside_later", "1"), ("name", "Rye")],
        &[(MARKER, "1"), ("__cache_aside_later", "1")],
        &[(MARKER, "1"), ("__cache_aside_not_found", "1")],
    ];
    for entry in entries {
        put(environment, entry);
        cache.reset_stats();
        assert!(cache.peek("r").unwrap().is_none());
        let found = cache.get("r", finds(&Record::new())).unwrap();
        assert_eq!(found.source(), Source::Loaded, "{entry:?}");
        assert_eq!(cache.stats().unreadable_entries, 1);
    }
}

fn a_unit_struct_does_not_read_fields(environment: &Environment) {
    put(environment, &[("name", "Rye")]);
    let cache: Cache<Unit> = environment.builder().build().unwrap();
    let found = cache.get("r", finds(&Unit)).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(entry(environment), marker());
}

on_both_stores! {
    a_record_that_has_nothing_to_store_is_a_hit,
    it_is_kept_near,
    it_is_not_taken_for_no_such_record,
    a_field_that_it_gets_takes_the_place_of_the_marker,
    an_update_that_leaves_no_field_leaves_the_marker,
    a_field_that_another_program_adds_to_it_belongs_to_the_record,
    a_type_that_needs_a_field_passes_it_over,
    an_entry_with_a_reserved_name_that_is_not_known_is_unreadable,
    a_unit_struct_does_not_read_fields,
}
