//! The event log of a cache that was built before a fork.

use std::{collections::HashSet, fs};

use cache_aside::EventLog;
use serde_json::Value;

use super::{builder, pool, value};
use crate::{forked, support::Server};

#[test]
fn a_child_writes_a_log_of_its_own_to_the_same_file() {
    own_process!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let log = EventLog::create(&path).unwrap();
    let cache = builder(&redis).event_log(log.clone()).build().unwrap();
    forked::run(|| {
        value(&cache, "child", "1");
        cache.invalidate("child").unwrap();
        log.close();
    });
    value(&cache, "parent", "1");
    log.close();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |event: &str| {
        let lines = lines.iter().filter(|line| line["e"] == event);
        lines
            .map(|line| line["p"].to_string())
            .collect::<HashSet<_>>()
    };
    assert_eq!((of("open").len(), of("close").len()), (2, 2));
    assert_eq!(of("lookup"), of("open"));
    let key = |line: &Value| line["key"] == "test:child";
    let ends = lines.iter().filter(|line| line["e"] == "end" && key(line));
    assert_eq!(ends.count(), 1);
}
