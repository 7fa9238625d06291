//! Which entries a cache reads, and what becomes of the others.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Error, Event, Lookup, Miss, Record, Source, TtlRemaining};
use serde::{Deserialize, Serialize};

use super::{EMPTY, FIELD, PAIRS, cache, fields, get, load, others, put, row, stored};
use crate::{
    environment::Environment,
    support::{load_nothing, until},
};

fn down(_: &str) -> Result<Option<Record>, &'static str> {
    Err("no connection")
}

fn the_number_is_a_field_beside_those_of_the_record(environment: &Environment) {
    let cache = cache(environment, Some(7));
    get(&cache, "old");
    let with_number = fields(&[(FIELD, "7"), ("by", "old"), ("stock", "41")]);
    assert_eq!(stored(environment), with_number);
    // The record does not have it.
    assert_eq!(get(&cache, "old"), Source::Hit);
    assert_eq!(
        **cache.peek("r").unwrap().unwrap().record().unwrap(),
        row("old")
    );
    cache.invalidate("r").unwrap();

    let empty = |_: &str| Ok::<_, Infallible>(Some(Record::new()));
    for source in [Source::Loaded, Source::Hit] {
        let found = cache.get("r", empty).unwrap();
        assert_eq!(found.source(), source);
        assert!(found.record().unwrap().is_empty());
    }
    let marked = fields(&[(EMPTY, "1"), (FIELD, "7")]);
    assert_eq!(stored(environment), marked);
}

/// Redis does not keep the order of such a hash.
fn a_record_of_many_fields_is_read_wherever_the_number_is(environment: &Environment) {
    let cache = cache(environment, Some(7));
    let many = (0..1_000).map(|number| (format!("f{number}"), "x"));
    let many: Record = many.collect();
    let load = |_: &str| Ok::<_, Infallible>(Some(many.clone()));
    for source in [Source::Loaded, Source::Hit] {
        let found = cache.get("r", load).unwrap();
        assert_eq!(found.source(), source);
        assert_eq!(**found.record().unwrap(), many);
    }
}

fn an_entry_of_another_schema_is_a_miss_and_is_replaced(environment: &Environment) {
    for (filled, finds) in PAIRS {
        let (old, new) = (cache(environment, filled), cache(environment, finds));
        assert_eq!(get(&old, "old"), Source::Loaded);
        assert_eq!(get(&old, "old"), Source::Hit);

        assert!(new.peek("r").unwrap().is_none());
        assert_eq!(others(&new), 0, "a peek is no lookup");
        assert_eq!(get(&new, "new"), Source::Loaded, "{filled:?}, {finds:?}");
        assert_eq!((others(&new), new.stats().misses), (1, 1));
        assert_eq!(get(&new, "new"), Source::Hit);

        let rows = |_: &[&str]| Ok::<_, Infallible>([("r", row("old"))]);
        for source in [Source::Loaded, Source::Hit] {
            let found = old.get_many(["r"], rows).unwrap().remove(0);
            assert_eq!(found.source(), source);
            assert_eq!(**found.record().unwrap(), row("old"));
        }
        assert_eq!((others(&old), old.stats().misses), (1, 2));
        assert_eq!(others(&new), 1);
        old.invalidate("r").unwrap();
    }
}

fn a_batch_loads_what_belongs_to_another_schema_with_what_is_absent(environment: &Environment) {
    let (old, new) = (cache(environment, Some(1)), cache(environment, Some(2)));
    let all = ["own", "other", "absent"];
    new.get("own", load("new")).unwrap();
    old.get("other", load("old")).unwrap();
    let rows = |ids: &[&str]| {
        assert_eq!(ids, ["other", "absent"]);
        Ok::<_, Infallible>([("other", row("new")), ("absent", row("new"))])
    };
    let found = new.get_many(all, rows).unwrap();
    let sources: Vec<_> = found.iter().map(Lookup::source).collect();
    assert_eq!(sources, [Source::Hit, Source::Loaded, Source::Loaded]);
    for found in found {
        assert_eq!(**found.record().unwrap(), row("new"));
    }
    assert_eq!((others(&new), new.stats().loads), (1, 2));
}

fn only_the_same_number_in_the_same_form_is_read(environment: &Environment) {
    let cache = cache(environment, Some(1));
    for number in ["01", "+1", " 1", "1 ", "", "2", "1\n"] {
        put(environment, &[("by", "old"), (FIELD, number)]);
        cache.reset_stats();
        assert_eq!(get(&cache, "new"), Source::Loaded, "{number:?}");
        assert_eq!(others(&cache), 1);
    }
    put(environment, &[(FIELD, "1"), ("by", "new"), ("stock", "41")]);
    assert_eq!(get(&cache, "new"), Source::Hit);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Typed {
    name: String,
}

fn an_entry_of_the_same_schema_that_does_not_decode_is_unreadable(environment: &Environment) {
    let builder = environment.builder().schema(1);
    let cache: Cache<Typed> = builder.build().unwrap();
    let entries: [&[(&str, &str)]; 4] = [
        &[(FIELD, "1"), ("by", "old")],
        // A name that a later version may know.
        &[(FIELD, "1"), ("name", "Rye"), ("__cache_aside_later", "1")],
        &[(FIELD, "1"), ("__cache_aside_not_found", "1")],
        // The remainder of a record whose fields another program has deleted.
        &[(FIELD, "1")],
    ];
    for entry in entries {
        put(environment, entry);
        cache.reset_stats();
        let name = || "Rye".to_owned();
        let load = |_: &str| Ok::<_, Infallible>(Some(Typed { name: name() }));
        let found = cache.get("r", load).unwrap();
        assert_eq!(found.source(), Source::Loaded, "{entry:?}");
        let stats = cache.stats();
        let counts = (stats.unreadable_entries, stats.other_schema_entries);
        assert_eq!(counts, (1, 0), "{entry:?}");
    }
}

/// A type that needs no field would read it as an empty record.
fn an_entry_that_has_only_the_number_is_no_record(environment: &Environment) {
    let cache = cache(environment, Some(1));
    put(environment, &[(FIELD, "1")]);
    assert!(cache.peek("r").unwrap().is_none());
    assert!(!cache.update_field("r", "stock", "41").unwrap());
    assert!(stored(environment).is_empty());
    put(environment, &[(FIELD, "1")]);
    let changed = cache.update("r", |_| unreachable!("there is no record"));
    assert!(!changed.unwrap());
    assert!(stored(environment).is_empty());
}

fn no_such_record_belongs_to_every_schema(environment: &Environment) {
    let builder = environment.builder().negative_ttl(Duration::from_secs(10));
    let first: Cache = builder.schema(1).build().unwrap();
    first.get("r", load_nothing).unwrap();
    let alone = fields(&[("__cache_aside_not_found", "1")]);
    assert_eq!(stored(environment), alone);
    for schema in [Some(1), Some(2), None] {
        let cache = cache(environment, schema);
        let found = cache.get("r", load("new")).unwrap();
        assert_eq!((found.source(), found.record()), (Source::Hit, None));
        assert_eq!(others(&cache), 0);
    }
}

fn every_program_ends_the_entries_of_all_schemas(environment: &Environment) {
    let ends: [fn(&Cache) -> bool; 5] = [
        |cache| cache.invalidate("r").unwrap(),
        |cache| cache.invalidate_many(["r"]).unwrap() == 1,
        |cache| cache.expire("r").unwrap(),
        |cache| cache.clear().unwrap() == 1,
        |cache| cache.write("r", || Ok::<_, Infallible>(())).is_ok(),
    ];
    for (filled, ended) in PAIRS {
        let (filler, writer) = (cache(environment, filled), cache(environment, ended));
        for end in ends {
            get(&filler, "old");
            assert!(end(&writer));
            assert!(stored(environment).is_empty());
            assert_eq!(get(&filler, "old"), Source::Loaded);
        }
        assert_eq!((others(&filler), others(&writer)), (0, 0));
        filler.invalidate("r").unwrap();
    }
}

fn an_entry_of_another_schema_is_no_stale_answer(environment: &Environment) {
    let builder = |schema| {
        let builder = environment.builder::<Record>();
        builder.grace(Duration::from_secs(60)).schema(schema)
    };
    let [old, new] = [1, 2].map(|schema| builder(schema).build().unwrap());
    get(&old, "old");
    assert!(old.expire("r").unwrap());
    let stale = old.get("r", down).unwrap();
    assert!(stale.is_stale());
    for _ in 0..2 {
        assert!(new.peek("r").unwrap().is_none());
        assert!(matches!(new.get("r", down), Err(Error::Loader(_))));
    }
    assert_eq!(get(&new, "new"), Source::Loaded);
    assert_eq!((new.stats().refreshes, new.stats().stale_hits), (0, 0));
    // From now on, the stale record of the old program is gone too.
    assert!(matches!(old.get("r", down), Err(Error::Loader(_))));
}

fn an_entry_of_another_schema_is_not_refreshed_early(environment: &Environment) {
    let (old, new) = (
        cache(environment, Some(1)),
        environment.builder().schema(2).early_refresh(1_000.0),
    );
    let new: Cache = new.build().unwrap();
    // By the setting, nearly every hit would now refresh.
    let slow = |id: &str| {
        thread::sleep(Duration::from_millis(20));
        load("new")(id)
    };
    new.get("other", slow).unwrap();
    for _ in 0..20 {
        get(&old, "old");
        assert_eq!(get(&new, "new"), Source::Loaded);
    }
    assert_eq!((others(&new), new.stats().refreshes), (20, 0));
}

fn the_near_cache_keeps_no_entry_of_another_schema(environment: &Environment) {
    let builder = environment.builder().schema(2).near_cache(100);
    let new: Cache = builder.build().unwrap();
    let old = cache(environment, Some(1));
    until(|| new.stats().tracking_live);
    for _ in 0..3 {
        until(|| get(&new, "new") == Source::Near);
        assert_eq!(get(&old, "old"), Source::Loaded);
        // The entry of the old program has evicted the record. It is not kept instead.
        until(|| get(&new, "new") == Source::Loaded);
    }
    assert_eq!(others(&new), 3);
}

fn the_remaining_ttl_is_that_of_any_entry(environment: &Environment) {
    let (old, new) = (cache(environment, Some(1)), cache(environment, Some(2)));
    get(&old, "old");
    let left = new.ttl_remaining("r").unwrap();
    assert!(matches!(left, TtlRemaining::Left(_)), "{left:?}");
}

fn the_name_of_the_field_is_reserved(environment: &Environment) {
    for schema in [None, Some(1)] {
        let cache = cache(environment, schema);
        get(&cache, "old");
        let before = stored(environment);
        let refused = cache.update_field("r", FIELD, "2").unwrap_err();
        assert!(matches!(refused, Error::InvalidRecord { .. }), "{refused}");
        assert_eq!(stored(environment), before);
        cache.invalidate("r").unwrap();
        let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([(FIELD, "1")])));
        assert!(cache.get("r", load).unwrap().record().is_some());
        assert!(stored(environment).is_empty());
        assert_eq!(cache.stats().unstorable_records, 1);
    }
}

/// Two for each read by the program that reads less: its own, and one to get the entry back.
fn the_extra_loads_are_bounded_by_the_reads_of_the_smaller_side(environment: &Environment) {
    let (most, few) = (cache(environment, Some(1)), cache(environment, Some(2)));
    for turn in 0..1_000 {
        get(&most, "old");
        if turn % 100 == 50 {
            get(&few, "new");
        }
    }
    assert_eq!((most.stats().loads, few.stats().loads), (11, 10));
    assert_eq!((others(&most), others(&few)), (10, 10));
}

fn the_events_say_that_it_is_another_schema(environment: &Environment) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let heard = Arc::clone(&heard);
        move |_: &str, event: &Event<'_>| {
            let words = match event {
                Event::Missed { id, reason } => format!("{id} missed: {}", reason.name()),
                Event::OtherSchema { id } => format!("{id} has another schema"),
                Event::Unreadable { .. } | Event::Unstorable { .. } => panic!("{event:?}"),
                _ => return,
            };
            heard.lock().unwrap().push(words);
        }
    };
    let new: Cache = environment
        .builder()
        .schema(2)
        .observer(observer)
        .build()
        .unwrap();
    let old = cache(environment, None);
    let taken = || std::mem::take(&mut *heard.lock().unwrap());
    get(&old, "old");
    get(&new, "new");
    let missed = ["r has another schema", "r missed: other_schema"];
    assert_eq!(taken(), missed);
    assert_eq!(Miss::OtherSchema.name(), "other_schema");
    get(&old, "old");
    new.update_field("r", "stock", "1").unwrap();
    get(&old, "old");
    new.update("r", |record| Some(record.clone())).unwrap();
    assert_eq!(taken(), ["r has another schema"; 2]);
}

on_both_stores! {
    the_number_is_a_field_beside_those_of_the_record,
    a_record_of_many_fields_is_read_wherever_the_number_is,
    an_entry_of_another_schema_is_a_miss_and_is_replaced,
    a_batch_loads_what_belongs_to_another_schema_with_what_is_absent,
    only_the_same_number_in_the_same_form_is_read,
    an_entry_of_the_same_schema_that_does_not_decode_is_unreadable,
    an_entry_that_has_only_the_number_is_no_record,
    no_such_record_belongs_to_every_schema,
    every_program_ends_the_entries_of_all_schemas,
    an_entry_of_another_schema_is_no_stale_answer,
    an_entry_of_another_schema_is_not_refreshed_early,
    the_near_cache_keeps_no_entry_of_another_schema,
    the_remaining_ttl_is_that_of_any_entry,
    the_name_of_the_field_is_reserved,
    the_extra_loads_are_bounded_by_the_reads_of_the_smaller_side,
    the_events_say_that_it_is_another_schema,
}
