//! The event log of a cache that was built before a fork.

use std::{collections::HashSet, env, fs};

use cache_aside::EventLog;
use serde_json::Value;

use super::{builder, pool, value};
use crate::{forked, support::Server};

/// A server that forks often changes its folder, its root or its user then.
#[test]
fn a_child_that_has_changed_its_folder_writes_to_the_file_of_its_parent() {
    own_process!();
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start();
    env::set_current_dir(&folder).unwrap();
    let redis = pool(&server).build().unwrap();
    let log = EventLog::create("trace.jsonl").unwrap();
    let cache = builder(&redis).event_log(log.clone()).build().unwrap();
    forked::run(|| {
        env::set_current_dir(&other).unwrap();
        value(&cache, "child", "1");
        log.close();
    });
    log.close();
    let text = fs::read_to_string(folder.path().join("trace.jsonl")).unwrap();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count(r#""e":"open""#), 2, "{text}");
    assert_eq!(count(r#""e":"lookup","key":"test:child""#), 1, "{text}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

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
