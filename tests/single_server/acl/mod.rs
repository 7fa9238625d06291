//! Least privilege: the rule in the guide is enough, and every word of it is needed.

pub(crate) mod calls;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use crate::support::{
    Server,
    acl::{PREFIX, REPLICAS_RULE, RULE, TAGS_RULE, VERSIONS_RULE, words, words_of},
    alone, chain, load_loaf,
};
use cache_aside::{Cache, Source, scripts};
use calls::{CALLS, Stage, tags, versions, write_through};

const GUIDE: &str = include_str!("../../../src/guide/operations.md");

/// The calls that need a command.
type Needs = BTreeMap<String, BTreeSet<&'static str>>;

fn rule() -> Vec<String> {
    words(&[PREFIX])
}

/// The words of the rule that begin with this.
fn that_begin_with(sign: char) -> Vec<String> {
    let mut words = rule();
    words.retain(|word| word.starts_with(sign));
    words
}

fn rule_without(missing: &str) -> Vec<String> {
    let mut words = rule();
    words.retain(|word| word != missing);
    words
}

#[test]
fn the_guide_gives_the_rule_word_for_word() {
    assert!(GUIDE.contains(&format!("\n```text\n{RULE}```\n")));
}

#[test]
fn every_call_does_what_it_should_and_nothing_is_denied() {
    let server = Server::start();
    for parameters in ["", "&protocol=resp3"] {
        for (name, call) in CALLS {
            let stage = Stage::new(&server, &rule(), parameters);
            let done = call(&stage);
            assert!(stage.denials().is_empty(), "{name}: {:?}", stage.denials());
            assert!(done.is_some(), "{name} {parameters}");
        }
    }
}

#[test]
fn each_command_is_needed_by_the_calls_that_the_guide_names_and_by_no_others() {
    let commands = that_begin_with('+');
    let needed_by = |command: &str| -> BTreeSet<_> {
        let server = Server::start_with(&alone::NONE);
        let rest = rule_without(command);
        let denied = CALLS.iter().filter(|(_, call)| {
            let stage = Stage::new(&server, &rest, "");
            call(&stage);
            !stage.denials().is_empty()
        });
        denied.map(|(name, _)| *name).collect()
    };
    let mut seen = Needs::new();
    // As many servers at a time as a small machine can run.
    for some in commands.chunks(4) {
        thread::scope(|scope| {
            let all = some.iter().map(|command| {
                let needed_by = &needed_by;
                (command, scope.spawn(move || needed_by(command)))
            });
            for (command, needed_by) in all.collect::<Vec<_>>() {
                let name = command.trim_start_matches('+').to_owned();
                seen.insert(name, needed_by.join().unwrap());
            }
        });
    }
    let superfluous = seen.iter().find(|(_, calls)| calls.is_empty());
    assert_eq!(superfluous, None);
    assert_eq!(seen, told());
}

/// The guide's table: each row has commands, then calls.
fn told() -> Needs {
    let (_, section) = GUIDE.split_once("\n## Permissions").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut told = Needs::new();
    for row in rows {
        // A bar within a cell has a backslash before it.
        let columns: Vec<_> = row.split("| ").collect();
        let calls = CALLS.map(|(name, _)| name).into_iter();
        let calls: BTreeSet<_> = calls.filter(|name| columns[2].contains(name)).collect();
        for command in columns[1].trim().split(", ") {
            let name = command.trim_matches('`').replace("\\|", "|");
            assert!(told.insert(name, calls.clone()).is_none(), "{row}");
        }
    }
    told
}

/// Covers paths through a script that a test may have missed.
#[test]
fn the_rule_allows_every_command_that_a_script_calls() {
    // `acquire` reads the clock of an entry only for a lookup under tags.
    let allowed = [that_begin_with('+'), words_of(TAGS_RULE, &[PREFIX])].concat();
    for script in [
        scripts::ACQUIRE,
        scripts::REFRESH,
        scripts::FILL,
        scripts::KEEP,
        scripts::RELEASE,
        scripts::BACK_OFF,
        scripts::RENEW,
        scripts::INVALIDATE,
        scripts::EXPIRE,
        scripts::GUARD,
        scripts::UNGUARD,
        scripts::READ_TAGS,
        scripts::INVALIDATE_TAGS,
    ] {
        let calls: Vec<_> = script.split("call('").skip(1).collect();
        assert!(!calls.is_empty());
        for call in calls {
            let (command, _) = call.split_once('\'').unwrap();
            let word = format!("+{}", command.to_lowercase());
            assert!(allowed.contains(&word), "{command}");
        }
    }
}

#[test]
fn each_key_pattern_is_needed() {
    let server = Server::start_with(&alone::NONE);
    for pattern in that_begin_with('~') {
        let stage = Stage::new(&server, &rule_without(&pattern), "");
        let is_denied = CALLS.iter().any(|(_, call)| {
            call(&stage);
            !stage.denials().is_empty()
        });
        assert!(is_denied, "{pattern}");
    }
}

#[test]
fn versions_and_writes_through_need_two_key_patterns_more_and_no_command() {
    let server = Server::start_with(&alone::NONE);
    let floors = words_of(VERSIONS_RULE, &[PREFIX]);
    for parameters in ["", "&protocol=resp3"] {
        let all = [&rule()[..], &floors].concat();
        let stage = Stage::new(&server, &all, parameters);
        assert!(versions(&stage).is_some(), "{:?}", stage.denials());
        assert!(stage.denials().is_empty(), "{:?}", stage.denials());
    }
    for missing in &floors {
        let rest = floors.iter().filter(|word| *word != missing).cloned();
        let rest = [rule(), rest.collect()].concat();
        let stage = Stage::new(&server, &rest, "");
        versions(&stage);
        assert!(!stage.denials().is_empty(), "{missing}");
    }
    // Without versions, writing through needs neither.
    let stage = Stage::new(&server, &rule(), "");
    assert!(write_through(&stage).is_some() && stage.denials().is_empty());
}

#[test]
fn tags_need_a_key_pattern_and_a_command_more() {
    let server = Server::start_with(&alone::NONE);
    assert!(GUIDE.contains(&format!("`{TAGS_RULE}`")));
    let more = words_of(TAGS_RULE, &[PREFIX]);
    let all = [&rule()[..], &more].concat();
    let stage = Stage::new(&server, &all, "");
    assert!(tags(&stage).is_some(), "{:?}", stage.denials());
    assert!(stage.denials().is_empty(), "{:?}", stage.denials());
    for missing in &more {
        let rest = more.iter().filter(|word| *word != missing).cloned();
        let stage = Stage::new(&server, &[rule(), rest.collect()].concat(), "");
        tags(&stage);
        assert!(!stage.denials().is_empty(), "{missing}");
    }
}

#[test]
fn a_fill_that_may_not_set_a_ttl_leaves_no_record() {
    let server = Server::start();
    let stage = Stage::new(&server, &rule_without("+pexpire"), "");
    let cache: Cache = Cache::builder(stage.redis())
        .prefix(PREFIX)
        .build()
        .unwrap();
    for _ in 0..2 {
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
    assert!(!stage.denials().is_empty());
    server.assert_every_key_expires();
}

#[test]
fn keys_of_others_are_denied() {
    let server = Server::start();
    let stage = Stage::new(&server, &rule(), "");
    let mut user = stage.connect();
    let mut is_denied = |key: &str| {
        let read = redis::cmd("HGETALL").arg(key).exec(&mut user);
        read.is_err_and(|error| error.code() == Some("NOPERM"))
    };
    for key in [
        "cache:product",
        "cache:products:p-001",
        "my:cache:product:p-001",
        "lock:p-001",
        "lock:{cache:products:p-001}",
        "lock:{my:cache:product:p-001}",
        "lock:my:cache:product:{p-001}",
    ] {
        assert!(is_denied(key), "{key}");
    }
    for key in [
        "cache:product:p-001",
        "lock:{cache:product:p-001}",
        "lock:cache:product:{p-001}",
    ] {
        assert!(!is_denied(key), "{key}");
    }

    let others = Cache::builder(stage.redis()).prefix("cache:customer:");
    let others: Cache = others.build().unwrap();
    let found = others.get("c-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    let error = chain(&others.invalidate("c-001").unwrap_err());
    // Upper or lower case depends on the server's version.
    assert!(
        error.to_lowercase().contains("no permissions to access"),
        "{error}"
    );
}

#[test]
fn commands_and_channels_of_others_are_denied() {
    // As servers before 7.0 do.
    let server = Server::start_with(&["--acl-pubsub-default", "allchannels"]);
    let stage = Stage::new(&server, &rule(), "");
    let mut user = stage.connect();
    for command in ["KEYS *", "FLUSHALL SYNC", "SCRIPT FLUSH", "ACL LIST"] {
        let (name, arg) = command.split_once(' ').unwrap();
        let done = redis::cmd(name).arg(arg).exec(&mut user);
        let code = done.as_ref().err().and_then(|error| error.code());
        assert_eq!(code, Some("NOPERM"), "{command}");
    }
    let with_publish = [&rule()[..], &["+publish".to_owned()]].concat();
    let mut user = Stage::new(&server, &with_publish, "").connect();
    let publish = redis::cmd("PUBLISH").arg(&["news", "none"]).exec(&mut user);
    let denied = publish.unwrap_err().to_string();
    assert!(denied.contains("channel"), "{denied}");
}

#[test]
fn a_database_with_a_number_needs_one_permission_more() {
    let server = Server::start();
    let stage = Stage::new(&server, &rule(), "&db=1");
    let error = chain(&stage.redis().build().unwrap_err());
    assert!(
        error.contains("NOPERM") && error.contains("'select'"),
        "{error}"
    );

    let with_select = [&rule()[..], &["+select".to_owned()]].concat();
    let stage = Stage::new(&server, &with_select, "&db=1");
    let cache = Cache::builder(stage.redis()).prefix(PREFIX);
    let cache: Cache = cache.build().unwrap();
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert!(stage.denials().is_empty(), "{:?}", stage.denials());
}

#[test]
fn whoever_waits_for_replicas_must_be_allowed_to_and_learns_that_at_the_start() {
    let server = Server::start();
    let stage = Stage::new(&server, &rule(), "");
    let error = stage.redis().wait_for_replicas(1).build().unwrap_err();
    assert!(chain(&error).contains("'wait'"), "{error}");

    let with_wait = [&rule()[..], &[REPLICAS_RULE.to_owned()]].concat();
    let stage = Stage::new(&server, &with_wait, "");
    stage.redis().wait_for_replicas(1).build().unwrap();
    assert!(stage.denials().is_empty(), "{:?}", stage.denials());
}
