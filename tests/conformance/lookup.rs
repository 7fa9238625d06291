//! What a lookup returns, and its source.

use std::{io, time::Duration};

use crate::{
    environment::Environment,
    support::{load_loaf, load_nothing},
};
use cache_aside::{Error, Record, Source, store::Entry};

fn never(_: &str) -> Result<Option<Record>, io::Error> {
    panic!("this lookup must not load")
}

fn a_miss_loads_and_the_next_lookup_hits(environment: &Environment) {
    let cache = environment.cache();

    let first = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(first.source(), Source::Loaded);
    assert!(!first.is_hit());
    assert_eq!(first.record().unwrap().get("stock"), Some("42"));

    let second = cache.get("p-001", never).unwrap();
    assert_eq!(second.source(), Source::Hit);
    assert!(second.is_hit());
    assert!(second.redis_latency() > Duration::ZERO);
    let record = second.into_record().unwrap();
    assert_eq!(
        record.names().collect::<Vec<_>>(),
        ["id", "name", "price_cents", "stock"]
    );
}

fn the_loader_gets_the_id_and_may_borrow(environment: &Environment) {
    let asked = std::cell::RefCell::new(Vec::new());
    environment
        .cache()
        .get("p-001", |id| {
            asked.borrow_mut().push(id.to_owned());
            load_loaf(id)
        })
        .unwrap();
    assert_eq!(*asked.borrow(), ["p-001"]);
}

fn no_record_is_an_answer_and_leaves_nothing_behind(environment: &Environment) {
    let found = environment.cache().get("p-009", load_nothing).unwrap();
    assert!(found.record().is_none());
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(
        environment.store().read("test:p-009").unwrap(),
        Entry::Absent
    );
    assert!(!environment.is_held("p-009"));
}

fn a_fill_replaces_the_whole_record(environment: &Environment) {
    let cache = environment.cache();
    cache.get("p-001", load_loaf).unwrap();
    cache.invalidate("p-001").unwrap();
    let smaller = Record::from([("id", "p-001")]);
    let load = |_: &str| Ok::<_, io::Error>(Some(smaller.clone()));
    cache.get("p-001", load).unwrap();
    let found = cache.get("p-001", never).unwrap();
    assert_eq!(**found.record().unwrap(), smaller);
}

fn an_empty_id_is_refused(environment: &Environment) {
    let error = environment.cache().get("", never).unwrap_err();
    assert!(matches!(error, Error::InvalidId { .. }));
    assert_eq!(error.to_string(), "the id is invalid: it is empty");
}

on_both_stores! {
    a_miss_loads_and_the_next_lookup_hits,
    the_loader_gets_the_id_and_may_borrow,
    no_record_is_an_answer_and_leaves_nothing_behind,
    a_fill_replaces_the_whole_record,
    an_empty_id_is_refused,
}
