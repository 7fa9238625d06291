//! Every call against servers that each lack one command: alone and in a cluster, without and with
//! TLS, in RESP2 and RESP3.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Instant,
};

use cache_aside::{Lookup, Record, Redis, Source};

use super::{
    MS, PASSWORD, USER,
    calls::{Used, cache_on, every_call, wait_for_stream},
    output::{Seen, assert_nothing_is_shown, listen, reported},
    record,
    servers::{Target, Way},
};

/// The commands that the crate sends.
const SENT: [&str; 25] = [
    "AUTH", "CLIENT", "CLUSTER", "DEL", "EVALSHA", "EXEC", "HDEL", "HELLO", "HGETALL", "HMGET",
    "HSET", "INFO", "MGET", "MULTI", "PEXPIRE", "PING", "PTTL", "ROLE", "SCAN", "SCRIPT", "SELECT",
    "SET", "TYPE", "WAIT", "WATCH",
];

/// The commands that only scripts call.
const IN_SCRIPTS: [&str; 6] = ["GET", "HEXISTS", "HVALS", "PEXPIREAT", "TIME", "UNLINK"];

/// These are sent, and no server of this search lacks them: `repeated` has servers without
/// `SENTINEL`. `ASKING` has no arguments, and is sent only while a slot is being moved.
const ELSEWHERE: [&str; 2] = ["ASKING", "SENTINEL"];

/// A server without one of these may be used: what they report is not necessary.
const TOLERATED: [&str; 3] = ["INFO", "ROLE", "SET"];

/// How many servers are searched at the same time. They mostly wait: a node of a cluster needs two
/// seconds to begin.
const AT_ONCE: usize = 16;

#[test]
fn a_server_that_lacks_a_command_repeats_its_arguments_and_nobody_sees_them() {
    own_process!();
    listen();
    // The last ones begin first.
    let deployments = if cfg!(feature = "cluster") {
        &[false, true][..]
    } else {
        &[false]
    };
    let targets = deployments.iter().flat_map(|is_cluster| {
        let commands = SENT.iter().chain(&IN_SCRIPTS);
        commands.map(move |command| (*command, *is_cluster))
    });
    let left = Mutex::new(targets.collect::<Vec<_>>());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || left.lock().unwrap().pop();
                while let Some((command, is_cluster)) = next() {
                    let ways = ways(command);
                    let texts = search(command, is_cluster, &ways);
                    found.lock().unwrap().extend(texts);
                }
            });
        }
    });
    let texts = [found.into_inner().unwrap(), reported()].concat();
    assert_nothing_is_shown(&texts);
    assert!(!texts.iter().any(|(place, _)| place == "panic"));
    // The message of the server came through, except for the arguments.
    for command in SENT.iter().filter(|command| !TOLERATED.contains(command)) {
        let is_there = *command != "CLUSTER" || cfg!(feature = "cluster");
        assert!(is_named(command, &texts) || !is_there, "{command}");
    }
    let is_told = |(_, text): &(String, String)| text.contains("called from script");
    assert!(texts.iter().any(is_told));
}

/// The ways in which a command is missing.
fn ways(command: &str) -> Vec<Way> {
    let mut ways = Vec::new();
    for (is_tls, is_resp3) in [(false, false), (false, true), (true, false), (true, true)] {
        if is_tls && !cfg!(feature = "tls") {
            continue;
        }
        let way = Way {
            is_tls,
            is_resp3,
            has_user: true,
        };
        ways.push(way);
        // The two commands that contain the login.
        if ["AUTH", "HELLO"].contains(&command) {
            ways.push(Way {
                has_user: false,
                ..way
            });
        }
    }
    ways
}

/// All text about a server that lacks a command.
fn search(command: &'static str, is_cluster: bool, ways: &[Way]) -> Vec<(String, String)> {
    let kind = if is_cluster { "a cluster" } else { "a server" };
    let seen = |way: &Way| Seen::at(format!("{kind} without {command}, {way:?}"));
    let seen: Vec<_> = ways.iter().map(seen).collect();
    if is_checked(command, is_cluster) {
        becomes_unusable(command, is_cluster, ways, &seen);
    } else {
        let target = Target::start(command, is_cluster, false);
        for (way, seen) in ways.iter().zip(&seen) {
            let redis = target.redis(*way).require_connection(true);
            seen.debug("builder", &redis);
            let redis = redis.build().expect("it is usable");
            let used = cache_on(seen, &redis);
            wait_for_stream(&used);
            every_call(seen, &used, target.put());
            seen.debug("redis", &redis);
        }
    }
    seen.iter().flat_map(Seen::texts).collect()
}

/// Whether `build` refuses a server without this command, or cannot log in there. Without `ROLE`, it
/// lacks `HELLO` too.
fn is_checked(command: &str, is_cluster: bool) -> bool {
    match command {
        "AUTH" | "EVALSHA" | "HELLO" | "ROLE" | "SCRIPT" | "WAIT" => true,
        "SELECT" => !is_cluster,
        "CLUSTER" => is_cluster,
        _ => false,
    }
}

/// The server loses the command when it is used, or before it is reached for the first time, or
/// before `build`.
fn becomes_unusable(command: &'static str, is_cluster: bool, ways: &[Way], seen: &[Seen]) {
    let mut target = Target::start(command, is_cluster, true);
    let build = |target: &Target, way: &Way| target.redis(*way).build().unwrap();
    let caches = |target: &Target| -> Vec<(Redis, Used)> {
        let caches = ways.iter().zip(seen).map(|(way, seen)| {
            let redis = build(target, way);
            let used = cache_on(seen, &redis);
            (redis, used)
        });
        caches.collect()
    };
    let in_use = caches(&target);
    for (_, used) in &in_use {
        wait_for_stream(used);
        let found = used
            .cache
            .get("0", |_: &str| Ok::<_, String>(Some(record())));
        assert_ne!(found.unwrap().source(), Source::Degraded);
    }
    target.kill();
    let away = caches(&target);
    target.start_again();
    for ((way, seen), ((redis, used), (_, away))) in
        ways.iter().zip(seen).zip(in_use.iter().zip(&away))
    {
        every_call(seen, used, target.put());
        seen.debug("redis", redis);
        is_refused_later(seen, away);
        for is_required in [true, false] {
            let redis = target.redis(*way).require_connection(is_required);
            if let Some(redis) = seen.outcome("build", redis.build()) {
                // It needs the command only for the change stream.
                wait_for_stream(&cache_on(seen, &redis));
            }
        }
    }
}

/// Waits until a server that was away has been checked.
fn is_refused_later(seen: &Seen, away: &Used) {
    let until = Instant::now() + MS(5_000);
    loop {
        let load = |_: &str| Ok::<_, String>(Some(record()));
        let found: Lookup<Record> = away.cache.get("0", load).unwrap();
        let Some(cause) = found.degraded_cause() else {
            return;
        };
        seen.error("away", cause);
        let cause = format!("{cause:#}");
        if cause.contains("nknown command") || Instant::now() > until {
            return;
        }
        thread::sleep(MS(20));
    }
}

/// Whether a text says that the server does not know the command.
fn is_named(command: &str, texts: &[(String, String)]) -> bool {
    let command = command.to_lowercase();
    let names = ["'", "`"].map(|quote| format!("unknown command {quote}{command}{quote}"));
    let is_there = |(_, text): &(String, String)| {
        let text = text.to_lowercase();
        names.iter().any(|name| text.contains(name))
    };
    texts.iter().any(is_there)
}

#[test]
fn a_text_with_a_part_of_a_secret_is_found_in_every_form() {
    let text = |text: String| [("here".to_owned(), text)];
    assert_nothing_is_shown(&text("'HELLO' '3' 'AUTH'".to_owned()));
    for shown in [
        PASSWORD[..5].to_owned(),
        USER.to_uppercase(),
        format!("{:?}", PASSWORD.as_bytes()),
        format!("{:x?}", USER.as_bytes()),
    ] {
        let found = std::panic::catch_unwind(|| assert_nothing_is_shown(&text(shown.clone())));
        assert!(found.is_err(), "{shown}");
    }
}

/// So that a new command of the crate is searched too.
#[test]
fn every_command_that_the_crate_sends_is_searched() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sent = BTreeSet::from(["EXEC", "MULTI", "DEL", "HDEL", "HSET"].map(str::to_owned));
    for file in files(&root.join("src/redis")).chain(files(&root.join("lua"))) {
        let source = fs::read_to_string(file).unwrap();
        for before in ["cmd(\"", "command(\"", "call('"] {
            let after = source.split(before).skip(1);
            let names = after.filter_map(|after| after.split(['"', '\'']).next());
            let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase());
            sent.extend(names.filter(is_name).map(str::to_owned));
        }
    }
    let searched = SENT.iter().chain(&IN_SCRIPTS).chain(&ELSEWHERE);
    let searched: BTreeSet<_> = searched.map(|name| (*name).to_owned()).collect();
    assert_eq!(sent, searched);
}

fn files(folder: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(folder).unwrap();
    Box::new(entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return files(&path);
        }
        let is_source = path
            .extension()
            .is_some_and(|end| end == "rs" || end == "lua");
        Box::new(is_source.then_some(path).into_iter())
    }))
}
