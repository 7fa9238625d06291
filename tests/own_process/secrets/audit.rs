//! What an audit says about a record that differs from the primary.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use cache_aside::{Audit, Cache, CacheBuilder, Event, Memory, Record};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    CONTENT, FIELD, MS,
    output::{Seen, assert_nothing_is_shown, listen, reported},
    record,
};
use crate::support::until;

/// Fills a record, hits it, and waits until the audit has reported it. Returns the names that the
/// observer got, and all other output.
fn report_of<R>(cached: &R, loaded: R) -> (Vec<String>, Seen)
where
    R: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let seen = Seen::at("memory");
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let (notes, got) = (seen.clone(), Arc::clone(&names));
    let observer = move |_: &str, event: &Event<'_>| match event {
        Event::Inconsistent { id, kind, fields } => {
            notes.debug("report", &(id, kind));
            let fields = fields.iter().map(|&field| field.to_owned());
            got.lock().unwrap().extend(fields);
        }
        event => notes.debug("event", event),
    };
    let audit = Audit::new(move |_: &str| Ok::<_, Infallible>(Some(loaded.clone())));
    let builder: CacheBuilder<R> = Cache::builder(Memory::new(10)).prefix("audit:");
    let builder = builder.audit(audit.rate(1.0).delay(MS(1)));
    let builder = builder.observer(observer);
    seen.debug("builder", &builder);
    let cache = builder.build().unwrap();
    for _ in 0..2 {
        let load = |_: &str| Ok::<_, Infallible>(Some(cached.clone()));
        cache.get("a", load).unwrap();
    }
    until(|| cache.stats().inconsistencies == 1);
    seen.debug("statistics", &cache.stats());
    drop(cache);
    let names = names.lock().unwrap().clone();
    (names, seen)
}

fn is_logged(line: &str) -> bool {
    reported().iter().any(|(_, text)| text.contains(line))
}

#[test]
fn only_an_observer_gets_the_names_of_a_map_and_nobody_a_value() {
    own_process!();
    listen();
    let loaded = Record::from([(FIELD, "Qz7other"), ("version", "1")]);
    let (names, seen) = report_of(&record(), loaded);
    assert_eq!(names, [FIELD]);
    assert!(is_logged(
        "cache `audit:`: the cached record \"a\" differs from the primary, and nothing has ended it: fields of a map, 1"
    ));
    assert_nothing_is_shown(&seen.all());
}

#[derive(Clone, Serialize, Deserialize)]
struct Person {
    name: String,
    age: u32,
}

#[test]
fn the_log_names_the_fields_of_a_struct() {
    own_process!();
    listen();
    let person = |name: &str| Person {
        name: name.to_owned(),
        age: 41,
    };
    let (names, seen) = report_of(&person(CONTENT), person("Qz7other"));
    assert_eq!(names, ["name"]);
    assert!(is_logged("nothing has ended it: the fields [\"name\"]"));
    assert_nothing_is_shown(&seen.all());
}
