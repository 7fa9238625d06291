//! Updates in place: they change entries of their own schema only.

use std::{cell::Cell, convert::Infallible};

use cache_aside::{Cache, Record, Source};

use super::{EMPTY, FIELD, PAIRS, cache, fields, get, load, others, put, row, stored};
use crate::environment::Environment;

fn an_update_of_an_entry_of_another_schema_ends_it(environment: &Environment) {
    let updates: [fn(&Cache) -> bool; 3] = [
        |cache| cache.update_field("r", "stock", "40").unwrap(),
        // A field that no program has.
        |cache| cache.update_field("r", "colour", "brown").unwrap(),
        |cache| {
            let changed = cache.update("r", |_| unreachable!("it is no record of this cache"));
            changed.unwrap()
        },
    ];
    for (filled, updates_it) in PAIRS {
        let (filler, writer) = (cache(environment, filled), cache(environment, updates_it));
        for (count, update) in (1..).zip(updates) {
            get(&filler, "old");
            assert!(!update(&writer));
            assert!(stored(environment).is_empty());
            assert!(!environment.is_held("r"));
            assert_eq!(others(&writer), count);
        }
        assert_eq!(others(&filler), 0);
    }
}

/// The record is not at fault.
fn it_is_no_error_where_an_unstorable_record_is_one(environment: &Environment) {
    let builder = environment.builder().schema(2);
    let writer: Cache = builder.fail_on_unstorable(true).build().unwrap();
    get(&cache(environment, Some(1)), "old");
    assert!(!writer.update_field("r", "stock", "40").unwrap());
    assert_eq!((others(&writer), writer.stats().unstorable_records), (1, 0));
}

fn it_ends_a_load_of_another_schema_under_way(environment: &Environment) {
    let updates: [fn(&Cache) -> bool; 2] = [
        |cache| cache.update_field("r", "stock", "40").unwrap(),
        |cache| {
            cache
                .update("r", |_| unreachable!("nothing is cached"))
                .unwrap()
        },
    ];
    for update in updates {
        let (old, new) = (cache(environment, Some(1)), cache(environment, Some(2)));
        let found = old.get("r", |id| {
            assert!(!update(&new));
            load("old")(id)
        });
        assert_eq!(found.unwrap().source(), Source::Loaded);
        assert_eq!(old.stats().refused_fills, 1);
        assert!(stored(environment).is_empty());
    }
}

fn an_update_of_an_entry_of_the_same_schema_keeps_the_number(environment: &Environment) {
    let cache = cache(environment, Some(2));
    get(&cache, "new");
    assert!(cache.update_field("r", "stock", "40").unwrap());
    let less = fields(&[(FIELD, "2"), ("by", "new"), ("stock", "40")]);
    assert_eq!(stored(environment), less);

    let mut other = row("new");
    other.remove("stock");
    other.insert("colour", "brown");
    assert!(cache.update("r", |_| Some(other.clone())).unwrap());
    let brown = fields(&[(FIELD, "2"), ("by", "new"), ("colour", "brown")]);
    assert_eq!(stored(environment), brown);

    // Nothing changes, and the update succeeds.
    assert!(cache.update("r", |record| Some(record.clone())).unwrap());
    assert_eq!(stored(environment), brown);

    assert!(cache.update("r", |_| Some(Record::new())).unwrap());
    let empty = fields(&[(EMPTY, "1"), (FIELD, "2")]);
    assert_eq!(stored(environment), empty);

    assert!(cache.update_field("r", "stock", "39").unwrap());
    assert_eq!(
        stored(environment),
        fields(&[(FIELD, "2"), ("stock", "39")])
    );
    let found = cache.get("r", load("new")).unwrap();
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(**found.record().unwrap(), Record::from([("stock", "39")]));
    assert_eq!(others(&cache), 0);
}

/// Between the two requests of an update, the other program replaces the entry.
fn an_update_that_another_schema_overtakes_ends_the_entry(environment: &Environment) {
    let (old, new) = (cache(environment, Some(1)), cache(environment, Some(2)));
    get(&new, "new");
    let calls = Cell::new(0);
    let changed = new.update("r", |record| {
        calls.set(calls.get() + 1);
        assert_eq!(*record, row("new"));
        assert_eq!(get(&old, "old"), Source::Loaded);
        Some(row("newer"))
    });
    assert!(!changed.unwrap());
    assert_eq!(calls.get(), 1);
    assert_eq!(others(&new), 1);
    assert!(stored(environment).is_empty());
}

/// So a version that does not know the number ends such an entry.
fn an_update_of_an_entry_with_an_unknown_name_of_the_cache_ends_it(environment: &Environment) {
    let cache = cache(environment, None);
    let updates: [fn(&Cache) -> bool; 2] = [
        |cache| cache.update_field("r", "stock", "40").unwrap(),
        |cache| cache.update("r", |_| unreachable!("unreadable")).unwrap(),
    ];
    for update in updates {
        put(environment, &[("by", "new"), ("__cache_aside_later", "1")]);
        assert!(!update(&cache));
        assert!(stored(environment).is_empty());
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.unreadable_entries, stats.other_schema_entries),
        (2, 0)
    );
}

/// The type reads a field under two names, so it cannot keep one that it does not write.
fn an_update_that_cannot_be_merged_ends_the_entry_with_its_number(environment: &Environment) {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Renamed {
        #[serde(alias = "by")]
        name: String,
    }
    get(&cache(environment, Some(1)), "old");
    let renamed: Cache<Renamed> = environment.builder().schema(1).build().unwrap();
    let changed = renamed.update("r", |_| {
        let name = "new".to_owned();
        Some(Renamed { name })
    });
    assert!(!changed.unwrap());
    assert!(stored(environment).is_empty());
    let load = |_: &str| Ok::<_, Infallible>(None);
    assert!(renamed.get("r", load).unwrap().record().is_none());
}

on_both_stores! {
    an_update_of_an_entry_of_another_schema_ends_it,
    it_is_no_error_where_an_unstorable_record_is_one,
    it_ends_a_load_of_another_schema_under_way,
    an_update_of_an_entry_of_the_same_schema_keeps_the_number,
    an_update_that_another_schema_overtakes_ends_the_entry,
    an_update_of_an_entry_with_an_unknown_name_of_the_cache_ends_it,
    an_update_that_cannot_be_merged_ends_the_entry_with_its_number,
}
