//! The event log of a cache in memory: what its lines say.

use std::{convert::Infallible, fs, time::Duration};

use cache_aside::{Cache, EventLog, Loaded, LoadingCache, Memory, Record, Source};
use serde_json::{Value, json};

use crate::support::until;

fn price(cents: &str) -> Record {
    Record::from([("price_cents", cents)])
}

/// The lines of one kind that a run writes.
fn lines(kind: &str, run: impl FnOnce(&Cache)) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let log = EventLog::create(&path).unwrap();
    let cache = Cache::builder(Memory::new(100))
        .prefix("test:")
        .loader_tags(true)
        .grace(Duration::from_secs(60))
        .event_log(log.clone())
        .build()
        .unwrap();
    run(&cache);
    log.close();
    let text = fs::read_to_string(&path).unwrap();
    let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|line: &Value| line["e"] == kind).collect()
}

/// The entry keeps both: the tags, and the clock of the load.
#[test]
fn an_update_in_place_lists_the_tags_and_the_record_of_the_entry_and_a_confirmed_one_stays() {
    let loads = lines("load", |cache| {
        let tagged = Loaded::new(price("1")).tags(["shoes"]);
        cache
            .options()
            .get("p", |_| Ok::<_, Infallible>(tagged))
            .unwrap();
        assert!(cache.update("p", |_| Some(price("2"))).unwrap());
        assert!(cache.update_field("p", "price_cents", "3").unwrap());
        let loading = LoadingCache::builder_with_cached(cache, |_, _: Option<&Record>| {
            Ok::<_, Infallible>(Loaded::unchanged())
        });
        let loading = loading.build().unwrap();
        assert!(cache.expire("p").unwrap());
        until(|| loading.get("p").unwrap().source() == Source::Hit);
    });
    let [loaded, updated, set, kept] = &loads[..] else {
        panic!("{loads:?}")
    };
    assert_eq!(loaded["tags"].as_array().map(Vec::len), Some(1));
    assert_eq!(loaded.get("was"), None);
    // What is cached stays as it is.
    assert_eq!(kept["hash"], set["hash"]);
    assert_eq!((&kept["unchanged"], kept.get("tags")), (&json!(true), None));
    for (line, before) in [(updated, loaded), (set, updated)] {
        assert_eq!(line["tags"], loaded["tags"]);
        assert_eq!(line["was"], before["hash"]);
        assert_ne!(line["was"], json!(null));
        assert_ne!(line["was"], line["hash"]);
    }
}
