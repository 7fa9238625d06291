//! A password that a server repeats in other words than those of Redis, or that stands in an address
//! that is wrong.

use std::{convert::Infallible, thread};

use cache_aside::{Cache, Error, Event, Record, Redis, RedisBuilder};

use super::{
    MS, PASSWORD,
    calls::{cache_on, every_call},
    hasty,
    output::{Seen, assert_nothing_is_shown, listen},
    record,
};
use crate::fake;
use crate::support::{Server, alone, free_port, until};

/// A server with a password, without this command.
fn without(command: &str) -> Server {
    let mut args = vec!["--requirepass", PASSWORD, "--rename-command", command, ""];
    args.extend(alone::NONE);
    Server::start_on_port_with(&args)
}

/// The address of a server, for each protocol.
fn urls(scheme: &str, server: &Server, path: &str) -> [String; 2] {
    let url = format!("{scheme}://:{PASSWORD}@127.0.0.1:{}{path}", server.port());
    [url.clone(), format!("{url}?protocol=resp3")]
}

/// A pool that is built while its server is away for a moment. So what is wrong with the server
/// shows later.
fn built_too_early(server: &Server, redis: RedisBuilder) -> Result<Redis, Error> {
    server.freeze();
    let redis = redis.connect_timeout(MS(50)).build();
    server.thaw();
    // Long enough for a check.
    thread::sleep(MS(50));
    redis
}

/// Uses a pool, if it was built.
fn is_used(seen: &Seen, redis: Result<Redis, Error>) {
    if let Some(redis) = seen.outcome("build", redis) {
        every_call(seen, &cache_on(seen, &redis), |_| {});
    }
}

#[test]
fn the_password_for_a_cluster_or_for_sentinels_is_not_shown_either() {
    own_process!();
    listen();
    // None of them is in a cluster, or knows SENTINEL.
    for command in ["HELLO", "AUTH"] {
        let server = without(command);
        let seen = Seen::at(format!("a server without {command}"));
        let cluster = urls("redis+cluster", &server, "");
        let sentinel = urls("redis+sentinel", &server, "/shop");
        for url in cluster.iter().chain(&sentinel) {
            #[cfg(feature = "sentinel")]
            let login = |builder: RedisBuilder| builder.sentinel_login(Some("me"), PASSWORD);
            #[cfg(not(feature = "sentinel"))]
            let login = |builder: RedisBuilder| builder;
            for builder in [hasty(url), login(hasty(url))] {
                is_used(&seen, builder.clone().build());
                is_used(&seen, built_too_early(&server, builder));
            }
        }
        assert!(!seen.texts().is_empty());
        assert_nothing_is_shown(&seen.all());
    }
}

/// The kinds of addresses that this build of the crate supports, and the path in them.
fn schemes() -> Vec<(&'static str, &'static str)> {
    let mut schemes = vec![("redis", "")];
    if cfg!(feature = "cluster") {
        schemes.push(("redis+cluster", ""));
    }
    if cfg!(feature = "sentinel") {
        schemes.push(("redis+sentinel", "/shop"));
    }
    schemes
}

/// Each repeats the whole request, or its last word.
const ECHOES: [fn(&[String]) -> String; 8] = [
    |words| format!("-ERR unknown command {}\r\n", words.join(" ")),
    |words| format!("-ERR unknown command '{}'\r\n", words.join(" ")),
    |words| format!("-ERR bad argument '{}'\r\n", words.last().unwrap()),
    |words| {
        let last = words.last().unwrap();
        format!("-WRONGPASS invalid password: {last}\r\n")
    },
    |words| {
        let words = format!("ERR {}", words.join(" "));
        format!("!{}\r\n{words}\r\n", words.len())
    },
    |words| format!("-{}\r\n", words.join("-")),
    // A part of it, as where a server cuts what is long.
    |words| format!("-ERR {:.15}\r\n", words.last().unwrap()),
    |words| format!("-ERR {}\r\n", words.join(" ").to_uppercase()),
];

#[test]
fn a_server_that_repeats_the_password_in_other_words_shows_it_to_nobody() {
    own_process!();
    listen();
    let seen = Seen::at("a server with its own words");
    for reply in ECHOES {
        for (scheme, path) in schemes() {
            for (user, protocol) in [("", ""), ("me", ""), ("", "resp3"), ("me", "resp3")] {
                let port = free_port();
                let mut url = format!("{scheme}://{user}:{PASSWORD}@127.0.0.1:{port}{path}");
                if !protocol.is_empty() {
                    url = format!("{url}?protocol={protocol}");
                }
                let builder = hasty(&url).connect_timeout(MS(100));
                let builder = builder.checkout_timeout(MS(100));
                #[cfg(feature = "sentinel")]
                let builder = builder.sentinel_login(Some("me"), PASSWORD);
                // Nothing listens there yet.
                let redis = builder.clone().build().unwrap();
                fake::answer(port, reply);
                // Also on a busy machine, where it may not answer in time.
                let required = builder.require_connection(true);
                assert!(seen.outcome("build", required.build()).is_none());
                let cache = Cache::<Record>::builder(&redis).prefix("test:");
                let notes = seen.clone();
                let cache = cache.observer(move |_: &str, event: &Event<'_>| {
                    notes.text("event", format!("{event:?}"));
                });
                let Some(cache) = seen.outcome("cache", cache.build()) else {
                    continue;
                };
                let load = |_: &str| Ok::<_, Infallible>(Some(record()));
                let get = || cache.get("a", load).unwrap();
                until(|| {
                    let cause = get().degraded_cause().map(ToString::to_string);
                    cause.is_some_and(|cause| !cause.contains("refused ("))
                });
                let found = get();
                seen.error("get", found.degraded_cause().expect("there is no Redis"));
                seen.outcome("invalidate", cache.invalidate("a"));
            }
        }
    }
    assert_nothing_is_shown(&seen.all());
    // What it said came through, without the password.
    let kept = |words: &str| seen.all().iter().any(|(_, text)| text.contains(words));
    assert!(kept("WRONGPASS"));
    assert!(kept("the server does not know HELLO"));
}

#[test]
fn no_error_about_an_address_shows_its_password() {
    own_process!();
    listen();
    let seen = Seen::at("a wrong address");
    let pw = PASSWORD;
    for url in [
        format!(":{pw}"),
        format!("redis://:{pw}"),
        format!("redis://:{pw}@"),
        format!("redis://:{pw}@h:99999"),
        format!("redis://:{pw}@h:port"),
        format!("redis://me:{pw}@h:1/none"),
        format!("redis://me:{pw}@h:1/{pw}"),
        format!("redis://:{pw}@h:1?protocol={pw}"),
        format!("redis://:{pw}@h h/"),
        format!("redis://:{pw}%@h"),
        format!("redis://:{pw}%ff@127.0.0.1:1"),
        format!("redis://:{pw}@[::1"),
        format!("redis://:{pw}@127.0.0.1:1/0?x={pw}#{pw}"),
        format!("redis://:{pw}@127.0.0.1:1"),
        format!("redis:{pw}@h"),
        format!("redis+other://:{pw}@h"),
        format!("rediss://:{pw}@127.0.0.1:1#insecure"),
        format!("rediss://:{pw}@127.0.0.1:1"),
        format!("http://:{pw}@h"),
        format!("redis+cluster://:{pw}@"),
        format!("redis+cluster://:{pw}@a,b/3"),
        format!("redis+cluster://:{pw}@127.0.0.1:1,127.0.0.1:2"),
        format!("redis+cluster://x:{pw}@a@b@c"),
        format!("redis+sentinel://:{pw}@h"),
        format!("redis+sentinel://:{pw}@127.0.0.1:1/name/x"),
        format!("redis+sentinel://:{pw}@127.0.0.1:1/shop/0"),
        format!("unix://:{pw}@/nowhere.sock"),
        format!("unix:///nowhere?pass={pw}"),
        format!("unix:///nowhere?db={pw}&pass={pw}"),
        format!("unix:///nowhere?pass=x&{pw}=1"),
        format!("unix:///nowhere?pass=x+{pw}"),
        format!("unix:///nowhere?pass=x#{pw}"),
        format!("redis://:{pw}\n@h"),
        format!("redis://{pw}@h"),
        format!("valkey://:{pw}@h:70000"),
    ] {
        let builder = hasty(&url);
        seen.debug("builder", &builder);
        seen.debug("builder", &Cache::<Record>::builder(&*url).prefix("test:"));
        let built = builder.clone().require_connection(true).build();
        assert!(seen.outcome("build", built).is_none(), "{url}");
        is_used(&seen, builder.build());
    }
    assert!(seen.texts().len() > 100);
    assert_nothing_is_shown(&seen.all());
}
