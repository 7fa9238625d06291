//! No output of the crate contains a password or the contents of a record: no error or source, no
//! log, no event. Servers repeat the arguments of a command that they do not know.

use std::{
    convert::Infallible,
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::fake;
use crate::support::{Server, alone, free_port, until};
use cache_aside::{Cache, Error, Event, Record, Redis, RedisBuilder};

const PASSWORD: &str = "a-password-to-be-kept";
const CONTENT: &str = "a-content-to-be-kept";
const MS: fn(u64) -> Duration = Duration::from_millis;

/// All output of the crate, with its place.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, String)>>>);

impl Seen {
    fn text(&self, place: &str, text: String) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push((place.to_owned(), text));
    }

    /// An error and its sources, in all their forms.
    fn error(&self, place: &str, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text(place, format!("{error} | {error:?} | {error:#?}"));
            next = error.source();
        }
    }

    fn outcome<T, E: StdError + 'static>(&self, place: &str, outcome: Result<T, E>) -> Option<T> {
        outcome.inspect_err(|error| self.error(place, error)).ok()
    }

    /// All of it, and all that was logged since the process began.
    fn all(&self) -> Vec<(String, String)> {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = logged::all().into_iter();
        let logged = logged.map(|line| ("log".to_owned(), line));
        texts.iter().cloned().chain(logged).collect()
    }

    fn assert_nothing_is_shown(&self) {
        for (place, text) in self.all() {
            for secret in [PASSWORD, CONTENT] {
                assert!(!text.contains(secret), "{place}: {text}");
            }
        }
    }
}

/// The output through `tracing`, with spans and fields.
#[cfg(feature = "tracing")]
mod logged {
    use std::{
        fmt,
        sync::{Mutex, Once, PoisonError},
    };

    use tracing::{
        Event, Id, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Record},
    };
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    struct Lines;
    struct Line;

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(format!("{field} {value:?}"));
        }
    }

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            span.record(&mut Line);
        }

        fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
            values.record(&mut Line);
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            event.record(&mut Line);
        }
    }

    pub(crate) fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::subscriber::set_global_default(registry().with(Lines))
                .expect("nobody else listens in this process");
        });
    }

    pub(crate) fn all() -> Vec<String> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The output through `log`.
#[cfg(not(feature = "tracing"))]
mod logged {
    use std::sync::{Mutex, Once, PoisonError};

    use log::{LevelFilter, Log, Metadata, Record};

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    struct Lines;

    impl Log for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    pub(crate) fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Lines).unwrap();
            log::set_max_level(LevelFilter::Trace);
        });
    }

    pub(crate) fn all() -> Vec<String> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server with a password, without these commands.
fn without(commands: &[&str]) -> Server {
    let mut args = vec!["--requirepass", PASSWORD];
    for command in commands {
        args.extend(["--rename-command", command, ""]);
    }
    args.extend(alone::NONE);
    Server::start_on_port_with(&args)
}

/// The address of a server, for each protocol.
fn urls(scheme: &str, server: &Server, path: &str) -> [String; 2] {
    let url = format!("{scheme}://:{PASSWORD}@127.0.0.1:{}{path}", server.port());
    [url.clone(), format!("{url}?protocol=resp3")]
}

fn record() -> Record {
    Record::from([("version", "1"), ("content", CONTENT)])
}

/// Writes a record past the cache. `HMSET` is another command than `HSET`.
fn put(server: &Server, key: &str) {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    let mut direct = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut put = redis::cmd("HMSET");
    put.arg(key)
        .arg("version")
        .arg("0")
        .arg("content")
        .arg(CONTENT);
    put.exec(&mut direct).unwrap();
}

/// A pool that is built while its server is away for a moment. So what is wrong with the server shows
/// later.
fn built_too_early(server: &Server, redis: RedisBuilder) -> Result<Redis, Error> {
    server.freeze();
    let redis = redis.connect_timeout(MS(50)).build();
    server.thaw();
    // Long enough for a check.
    thread::sleep(MS(50));
    redis
}

/// Makes every call of a cache, and keeps all output except records.
fn every_call(seen: &Seen, redis: Result<Redis, Error>, put: impl Fn(&str)) {
    let Some(redis) = seen.outcome("build", redis) else {
        return;
    };
    let notes = seen.clone();
    let builder = Cache::<Record>::builder(&redis)
        .prefix("test:")
        .near_cache(10);
    let observer = move |_: &str, event: &Event<'_>| notes.text("event", format!("{event:?}"));
    let builder = builder.near_staleness(MS(100)).grace(MS(60_000));
    let Some(cache) = seen.outcome("cache", builder.observer(observer).build()) else {
        return;
    };
    let load = |_: &str| Ok::<_, Infallible>(Some(record()));
    let load_many = |ids: &[&str]| {
        let rows = ids.iter().map(|id| ((*id).to_owned(), record()));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    let degraded = |place: &str, found: &cache_aside::Lookup<Record>| {
        let errors = [found.degraded_cause(), found.refresh_error()];
        for error in errors.into_iter().flatten() {
            seen.error(place, error);
        }
    };
    for id in ["a", "b"] {
        let found = seen.outcome("get", cache.get(id, load)).unwrap();
        degraded("get", &found);
        put(&format!("test:{id}"));
        seen.outcome("peek", cache.peek(id));
        seen.outcome("update_field", cache.update_field(id, "content", CONTENT));
        put(&format!("test:{id}"));
        let change = |old: &Record| {
            let mut new = old.clone();
            new.insert("content", format!("{CONTENT} anew"));
            Some(new)
        };
        seen.outcome("update", cache.update(id, change));
        put(&format!("test:{id}"));
        seen.outcome("expire", cache.expire(id));
        degraded("get", &seen.outcome("get", cache.get(id, load)).unwrap());
        seen.outcome("ttl", cache.ttl_remaining(id));
        seen.outcome("invalidate", cache.invalidate(id));
        let many = seen.outcome("get_many", cache.get_many([id, "c"], load_many));
        for found in many.into_iter().flatten() {
            degraded("get_many", &found);
        }
        seen.outcome("invalidate_many", cache.invalidate_many([id, "c"]));
        let written = seen.outcome("write", cache.write(id, || Ok::<_, Infallible>(())));
        let written = written.unwrap();
        for error in [written.guard_error(), written.invalidation_error()]
            .into_iter()
            .flatten()
        {
            seen.error("write", error);
        }
        seen.outcome("clear", cache.clear());
    }
    seen.text("debug", format!("{redis:?} {cache:?} {:?}", cache.stats()));
}

fn hasty(url: &str) -> RedisBuilder {
    // Never opens, so that each call is sent.
    let builder = Redis::builder(url).breaker_threshold(10_000);
    builder.connect_timeout(MS(500)).checkout_timeout(MS(500))
}

#[test]
fn a_server_that_lacks_a_command_repeats_its_arguments_and_nobody_sees_them() {
    own_process!();
    logged::listen();
    for command in [
        "HELLO", "AUTH", "HSET", "EVALSHA", "SCRIPT", "EVAL", "HGETALL", "PTTL", "DEL", "WATCH",
        "MULTI", "EXEC", "PEXPIRE", "TYPE", "SCAN", "CLIENT", "INFO", "PING",
    ] {
        let server = without(&[command]);
        let seen = Seen::default();
        for url in urls("redis", &server, "") {
            for too_early in [false, true] {
                let redis = if too_early {
                    built_too_early(&server, hasty(&url))
                } else {
                    hasty(&url).build()
                };
                every_call(&seen, redis, |key| {
                    if command != "AUTH" {
                        put(&server, key);
                    }
                });
            }
        }
        seen.assert_nothing_is_shown();
        // The server's message did come through, except for its arguments. A pooled connection that
        // cannot log in reports nothing itself. For the scripts the words differ, and some of these
        // commands are never sent.
        let is_told = ["HSET", "EVALSHA", "HGETALL", "WATCH", "MULTI", "SCAN"];
        let named = |(_, text): &(String, String)| {
            let text = text.to_lowercase();
            let command = command.to_lowercase();
            ["'", "`"]
                .iter()
                .any(|quote| text.contains(&format!("unknown command {quote}{command}{quote}")))
        };
        let is_named = seen.0.lock().unwrap().iter().any(named);
        assert!(is_named || !is_told.contains(&command), "{command}");
    }
}

#[test]
fn the_password_for_a_cluster_or_for_sentinels_is_not_shown_either() {
    own_process!();
    logged::listen();
    // None of them knows SENTINEL.
    for command in ["HELLO", "AUTH", "CLUSTER"] {
        let server = without(&[command]);
        let seen = Seen::default();
        let cluster = urls("redis+cluster", &server, "");
        let sentinel = urls("redis+sentinel", &server, "/shop");
        for url in cluster.iter().chain(&sentinel) {
            #[cfg(feature = "sentinel")]
            let login = |builder: RedisBuilder| builder.sentinel_login(Some("me"), PASSWORD);
            #[cfg(not(feature = "sentinel"))]
            let login = |builder: RedisBuilder| builder;
            for builder in [hasty(url), login(hasty(url))] {
                every_call(&seen, builder.clone().build(), |_| {});
                every_call(&seen, built_too_early(&server, builder), |_| {});
            }
        }
        assert!(!seen.all().is_empty());
        seen.assert_nothing_is_shown();
    }
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
    logged::listen();
    let seen = Seen::default();
    let schemes = [
        ("redis", true),
        ("redis+cluster", cfg!(feature = "cluster")),
        ("redis+sentinel", cfg!(feature = "sentinel")),
    ];
    for reply in ECHOES {
        for (scheme, _) in schemes.into_iter().filter(|(_, is_there)| *is_there) {
            let path = if scheme == "redis+sentinel" {
                "/shop"
            } else {
                ""
            };
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
                assert!(seen.outcome("build", builder.build()).is_none());
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
    let start = &PASSWORD[..12];
    for (place, text) in seen.all() {
        let text = text.to_lowercase();
        assert!(!text.contains(start), "{place}: {text}");
    }
    // What it said came through, without the password.
    let kept = |words: &str| seen.all().iter().any(|(_, text)| text.contains(words));
    assert!(kept("WRONGPASS"));
    assert!(kept("the server does not know HELLO"));
}

#[test]
fn no_error_about_an_address_shows_its_password() {
    own_process!();
    logged::listen();
    let seen = Seen::default();
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
        seen.text(&url, format!("{builder:?}"));
        seen.text(
            &url,
            format!("{:?}", Cache::<Record>::builder(&*url).prefix("test:")),
        );
        let built = builder.clone().require_connection(true).build();
        assert!(seen.outcome("build", built).is_none(), "{url}");
        every_call(&seen, builder.build(), |_| {});
    }
    let shown: Vec<_> = seen.0.lock().unwrap().clone();
    assert!(shown.len() > 60);
    for (place, text) in shown {
        assert!(!text.contains(PASSWORD), "{place}: {text}");
    }
    seen.assert_nothing_is_shown();
}
