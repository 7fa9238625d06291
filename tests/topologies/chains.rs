//! A printed error with all its causes says each thing once, whatever failed.
//!
//! One case for each variant, and for each cause of `Error::Store` that a program meets.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    error::Error as StdError,
    io::{self, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Error, Event, Lookup, Memory, Record, Redis, RedisBuilder, WriteError};

use crate::support::{Server, chain, free_port, load_loaf, loaf};

const TIMEOUT: Duration = Duration::from_millis(200);

/// Asserts that no cause is in the message of an error above it, and that the whole chain, as
/// `anyhow` prints it, has each of these words exactly once. Also that `{:#}` prints that chain.
fn says_once(error: &(dyn StdError + 'static), words: &[&str]) {
    let whole = chain(error);
    let mut above = vec![error.to_string()];
    let mut next = error.source();
    assert_eq!(timeless(&format!("{error:#}")), timeless(&whole));
    while let Some(cause) = next {
        let text = cause.to_string();
        let is_new = above.iter().all(|message| !message.contains(&text));
        assert!(is_new, "`{text}` is said again: {whole}");
        above.push(text);
        next = cause.source();
    }
    for word in words {
        assert_eq!(whole.matches(word).count(), 1, "`{word}`: {whole}");
    }
}

/// The text without its numbers: the time since the last failure is another at each print.
fn timeless(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_number = word.starts_with(|first: char| first.is_ascii_digit());
        if is_number { "0" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// An error of `build`, whose message names the request and the server.
fn says_once_at(address: &str, redis: RedisBuilder, words: &[&str]) {
    let error = unreached(redis);
    let whole = format!("request `connect` to {address} failed");
    assert!(error.to_string().starts_with(&whole), "{error}");
    says_once(&error, &[&[address, "connect`"], words].concat());
}

/// The error of a server that cannot be used.
fn unreached(redis: RedisBuilder) -> Error {
    redis.require_connection(true).build().unwrap_err()
}

fn impatient(server: &Server) -> RedisBuilder {
    Redis::builder(server.url())
        .io_timeout(TIMEOUT)
        .checkout_timeout(TIMEOUT)
}

fn cache(redis: RedisBuilder) -> Cache {
    Cache::builder(redis).prefix("test:").build().unwrap()
}

fn in_memory() -> Cache {
    let builder = Cache::builder(Memory::new(10)).prefix("test:");
    builder.build().unwrap()
}

#[test]
fn a_server_that_is_not_there() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let redis = Redis::builder(format!("redis://:secret@{address}"));
    says_once_at(&address, redis, &["Connection refused"]);
}

#[test]
fn a_server_that_refuses_the_login() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let place = server.place();
    let wrong = Redis::builder(format!("{}?pass=wrong", server.admin_url()));
    says_once_at(&place, wrong, &["WRONGPASS", "user is disabled"]);
    says_once_at(&place, Redis::builder(server.admin_url()), &["NOAUTH"]);
}

#[test]
fn a_server_that_lacks_a_command() {
    let server = Server::start_with(&["--rename-command", "EVALSHA", ""]);
    let redis = Redis::builder(server.admin_url());
    says_once_at(&server.place(), redis, &["SCRIPT LOAD and EVALSHA"]);
    let server = Server::start_with(&["--rename-command", "HELLO", ""]);
    let redis = Redis::builder(format!("{}?protocol=resp3", server.admin_url()));
    says_once_at(&server.place(), redis, &["does not know HELLO"]);
}

#[test]
fn something_that_is_no_redis_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let redis = Redis::builder(format!("redis://{address}"));
    says_once_at(&address, redis, &["is that a Redis server?"]);
}

#[test]
fn a_server_that_falls_silent_and_the_breaker_that_it_opens() {
    let server = Server::start();
    let cache = cache(impatient(&server).breaker_threshold(2));
    cache.get("a", load_loaf).unwrap();
    server.freeze();
    for id in ["a", "b"] {
        let error = cache.invalidate(id).unwrap_err();
        says_once(
            &error,
            &[&server.place(), "invalidate", "no answer within 200ms"],
        );
    }
    let error = cache.invalidate("c").unwrap_err();
    let words = ["not sent", "no answer within 200ms", &server.place()];
    says_once(&error, &words);
    says_once(
        &cache.ttl_remaining("a").unwrap_err(),
        &["`ttl`", "is pending"],
    );
    let found = cache.get("d", load_loaf).unwrap();
    says_once(found.degraded_cause().unwrap(), &words);
    server.thaw();
}

#[test]
fn a_pool_without_a_free_connection() {
    let server = Server::start();
    let cache = cache(impatient(&server).pool_size(1));
    cache.get("a", load_loaf).unwrap();
    // An update holds the one connection while its closure runs.
    let updated = cache.update("a", |_| {
        let error = cache.ttl_remaining("b").unwrap_err();
        says_once(
            &error,
            &[&server.place(), "none of the pool's connections (1)"],
        );
        None
    });
    updated.unwrap();
}

/// In the words of the command, without the hash of the script and its line.
#[test]
fn a_script_whose_command_is_refused() {
    let server = Server::start();
    server.expect_denials();
    let without_script = |error: &Error, words: &[&str]| {
        says_once(error, words);
        let whole = chain(error);
        for place in ["script", "user_script", "f_"] {
            assert!(!whole.contains(place), "{whole}");
        }
    };
    // Only the refusals matter here, on a busy machine too.
    let redis = impatient(&server).io_timeout(50 * TIMEOUT);
    let cache = cache(redis.checkout_timeout(50 * TIMEOUT));
    let tell = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command
            .arg(&words[1..])
            .exec(&mut server.connect())
            .unwrap();
    };
    tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let found = cache.get("a", load_loaf).unwrap();
    let place = server.place();
    let words = ["OOM", "maxmemory", "`acquire`", &place];
    without_script(found.degraded_cause().unwrap(), &words);
    tell(&["CONFIG", "SET", "maxmemory", "0"]);
    tell(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = cache.invalidate("a").unwrap_err();
    let words = ["READONLY", "read only replica", "`invalidate`", &place];
    without_script(&error, &words);
    let error = cache.update_field("a", "stock", "1").unwrap_err();
    without_script(&error, &["READONLY", "read only replica", &place]);
}

#[test]
fn a_prefix_that_is_bypassed() {
    let server = Server::start();
    let cache = cache(impatient(&server));
    server.freeze();
    says_once(&cache.clear().unwrap_err(), &["`scan`", "no answer within"]);
    let found = cache.get("a", load_loaf).unwrap();
    let words = ["not sent", "a `clear` did not finish"];
    says_once(found.degraded_cause().unwrap(), &words);
    server.thaw();
}

#[test]
fn replicas_that_are_missing() {
    let server = Server::start();
    server.allow(&[crate::support::acl::REPLICAS_RULE]);
    let cache = cache(impatient(&server).wait_for_replicas(1));
    let error = cache.invalidate("a").unwrap_err();
    says_once(&error, &[&server.place(), "0 of 1 replicas"]);
}

#[test]
fn an_update_that_other_writers_overtake_each_time() {
    let server = Server::start();
    let (cache, other) = (server.cache(), server.cache());
    cache.get("a", load_loaf).unwrap();
    let mut stock = 0;
    let updated = cache.update("a", |record| {
        stock += 1;
        other.update_field("a", "stock", stock.to_string()).unwrap();
        let mut record = record.clone();
        record.remove("name");
        Some(record)
    });
    let error = updated.unwrap_err();
    assert!(matches!(error, Error::Contended { .. }), "{error}");
    says_once(&error, &["attempts"]);
}

/// An error of a program's own, as `thiserror` makes them.
#[derive(Debug, thiserror::Error)]
#[error("the row cannot be read")]
struct Unreadable(#[source] io::Error);

#[test]
fn a_loader_that_fails() {
    let cache = in_memory();
    let fail = |_: &str| Err::<Option<Record>, _>(Unreadable(io::Error::other("disk full")));
    let error = cache.get("a", fail).unwrap_err();
    says_once(&error, &["the loader failed", "the row", "disk full"]);
    let row: Option<&Unreadable> = error.loader();
    assert_eq!(row.unwrap().0.to_string(), "disk full");
    assert!(error.loader::<io::Error>().is_none());
    // In the box that many programs use.
    let fail = |_: &str| {
        let error = Unreadable(io::Error::other("disk full"));
        Err::<Option<Record>, Box<dyn StdError + Send + Sync>>(error.into())
    };
    let error = cache.get("a", fail).unwrap_err();
    says_once(&error, &["the loader failed", "the row", "disk full"]);
    assert!(error.loader::<Unreadable>().is_some());
    let error = cache.get("a", |_| Err::<Option<Record>, _>("away"));
    says_once(&error.unwrap_err(), &["the loader failed", "away"]);
}

#[test]
fn a_call_that_is_refused() {
    let cache = in_memory();
    says_once(&cache.invalidate("").unwrap_err(), &["it is empty"]);
    let setting = Cache::<Record>::builder(Memory::new(10)).build();
    says_once(&setting.unwrap_err(), &["`prefix`"]);
    let record = cache.update_field("a", "__cache_aside_x", "1");
    says_once(&record.unwrap_err(), &["`__cache_aside_x`"]);
    let again = cache.get("a", |id| cache.get(id, load_loaf).map(|_| Some(loaf())));
    let again = again.unwrap_err();
    let cause: Option<&Error> = again.loader();
    assert!(matches!(cause, Some(Error::Reentrant)), "{again}");
    says_once(&again, &["the loader failed", "on its own thread"]);
}

#[test]
fn a_wait_that_is_too_long() {
    let builder = Cache::builder(Memory::new(10)).prefix("test:");
    let builder = builder.fail_on_wait_timeout(true);
    let cache: Cache = builder.wait_timeout(TIMEOUT).build().unwrap();
    let found = cache.get("a", |id| {
        thread::scope(|scope| {
            let waited = scope.spawn(|| cache.get(id, load_loaf)).join().unwrap();
            says_once(&waited.unwrap_err(), &["waited", "another caller's load"]);
        });
        load_loaf(id)
    });
    found.unwrap();
}

#[test]
fn a_write_that_fails() {
    let cache = in_memory();
    let change = || Err::<(), _>(io::Error::other("disk full"));
    let error = cache.write("a", change).unwrap_err();
    says_once(&error, &["the change of the primary failed", "disk full"]);
    let error = cache.write("", change).unwrap_err();
    assert!(matches!(error, WriteError::Cache(_)));
    says_once(&error, &["nothing was written", "it is empty"]);
}

/// An error of a library that prints its source as well.
#[derive(Debug, thiserror::Error)]
#[error("the row cannot be read: {0}")]
struct Repeating(#[source] io::Error);

#[test]
fn the_alternate_form_prints_each_cause_once_even_where_an_error_repeats_its_source() {
    let cache = in_memory();
    let fail = |_: &str| Err::<Option<Record>, _>(Repeating(io::Error::other("disk full")));
    let error = cache.get("a", fail).unwrap_err();
    assert_eq!(error.to_string(), "the loader failed");
    let whole = "the loader failed: the row cannot be read: disk full";
    assert_eq!(format!("{error:#}"), whole);
    let error: WriteError<Error> = WriteError::Primary(error);
    let message = "the change of the primary failed: the loader failed";
    assert_eq!(error.to_string(), message);
    let whole = format!("{message}: the row cannot be read: disk full");
    assert_eq!(format!("{error:#}"), whole);
}

/// The failures of requests as an observer gets them: the request, and the message.
type Failures = Arc<Mutex<Vec<(String, String)>>>;

/// A cache of a user that has all permissions but these. It has no connection yet, so its first
/// request waits for one.
fn restricted(server: &Server, rules: &str, failures: &Failures) -> Cache {
    restrict(server, "reset on >pw ~* &* +@all");
    let failures = Arc::clone(failures);
    let observer = move |_: &str, event: &Event<'_>| {
        if let Event::StoreFailed { request, error } = event {
            let failure = ((*request).to_owned(), error.to_string());
            failures.lock().unwrap().push(failure);
        }
    };
    let redis = Redis::builder(format!("{}?user=some&pass=pw", server.admin_url()));
    let builder = Cache::builder(redis.pool_size(1)).prefix("test:");
    let cache = builder.observer(observer).build().unwrap();
    // Only now, because `build` checks the permissions.
    restrict(server, rules);
    cache
}

fn restrict(server: &Server, rules: &str) {
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER").arg("some");
    set.arg(rules.split(' ').collect::<Vec<_>>());
    set.exec(&mut server.connect()).unwrap();
}

#[test]
fn a_refusal_names_the_server_whichever_request_it_refuses_and_on_a_first_connection_too() {
    let server = Server::start();
    server.expect_denials();
    let failures = Failures::default();
    let cached = || restricted(&server, "-hgetall", &failures);
    let names = |error: &Error| {
        let to = format!("` to {} failed", server.place());
        assert!(error.to_string().ends_with(&to), "{error}");
    };
    let cause = |found: &Lookup<Record>| names(found.degraded_cause().unwrap());
    cause(&cached().get("a", load_loaf).unwrap());
    let wrong_key = restricted(&server, "resetkeys ~lock:*", &failures);
    cause(&wrong_key.get("a", load_loaf).unwrap());
    let both = |cache: &Cache| {
        let load = |ids: &[&str]| -> Result<Vec<_>, Infallible> {
            Ok(ids.iter().map(|id| ((*id).to_owned(), loaf())).collect())
        };
        for found in cache.get_many(["a", "b"], load).unwrap() {
            cause(&found);
        }
    };
    both(&cached());
    // An invalidation replaces it, which is not refused.
    assert!(!cached().update("a", |_| None).unwrap());
    both(&restricted(&server, "-evalsha", &failures));
    let scriptless = || restricted(&server, "-evalsha", &failures);
    cause(&scriptless().get("a", load_loaf).unwrap());
    names(&scriptless().invalidate("a").unwrap_err());
    names(&scriptless().invalidate_many(["a", "b"]).unwrap_err());
    let updateless = || restricted(&server, "-evalsha -watch", &failures);
    names(&updateless().update_field("a", "stock", "1").unwrap_err());
    names(
        &restricted(&server, "-pttl", &failures)
            .ttl_remaining("a")
            .unwrap_err(),
    );
    names(&restricted(&server, "-scan", &failures).clear().unwrap_err());
    // The fill is refused, and the lease that precedes it is not.
    let cache = restricted(&server, "+evalsha", &failures);
    let load = |id: &str| {
        restrict(&server, "-evalsha");
        load_loaf(id)
    };
    cache.get("c", load).unwrap();
    // Many callers and one connection, so that one of them sends the requests of others.
    let cache = restricted(&server, "-evalsha", &failures);
    thread::scope(|scope| {
        for reader in 0..8 {
            let (cache, cause) = (&cache, &cause);
            scope.spawn(move || {
                for number in 0..25 {
                    cause(&cache.get(format!("{reader}-{number}"), load_loaf).unwrap());
                }
            });
        }
    });
    let failures = failures.lock().unwrap();
    let to = format!(" to {} failed", server.place());
    for (request, message) in failures.iter() {
        assert_eq!(*message, format!("request `{request}`{to}"));
    }
    let requests: BTreeSet<_> = failures
        .iter()
        .map(|(request, _)| request.as_str())
        .collect();
    let all = [
        "acquire",
        "fill",
        "invalidate",
        "read",
        "scan",
        "ttl",
        "update",
        "update_field",
    ];
    assert!(requests.is_superset(&all.into()), "{requests:?}");
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_that_is_not_there() {
    use crate::test_cluster::Cluster;

    let address = format!("127.0.0.1:{}", free_port());
    let redis = Redis::builder(format!("redis+cluster://{address}"));
    says_once_at(&address, redis, &["Connection refused"]);
    // The port that its node announces is another's.
    let cluster = Cluster::start_with(1, 0, &["--cluster-announce-port", "1"]);
    let words = ["Connection refused", "`cluster-announce-port`"];
    says_once_at("127.0.0.1:1", cluster.redis(), &words);
}

#[cfg(feature = "sentinel")]
#[test]
fn sentinels_that_name_no_master() {
    use crate::sentinel_set::{SentinelSet, url_of};

    let set = SentinelSet::start();
    let ports = set.sentinels.iter().map(|sentinel| sentinel.port);
    let redis = Redis::builder(url_of(ports, "shoop"));
    let error = unreached(redis);
    says_once(&error, &["to master `shoop` failed", "no sentinel says"]);
    let address = format!("127.0.0.1:{}", free_port());
    let redis = Redis::builder(format!("redis+sentinel://{address}/shop"));
    let words = [&*address, "no sentinel says", "Connection refused"];
    says_once_at("master `shop`", redis, &words);
}

#[cfg(feature = "tls")]
#[test]
fn a_server_whose_certificate_is_not_accepted() {
    use crate::secure::{Authority, Secure};

    let secure = Secure::start();
    let address = format!("localhost:{}", secure.port);
    let strange = secure.redis().tls_root_certificate(Authority::new().pem());
    let words = ["not trusted here", "UnknownIssuer"];
    says_once_at(&address, strange, &words);
    let other = Secure::start_as(&["elsewhere.example"], &["--tls-auth-clients", "no"]);
    let address = format!("localhost:{}", other.port);
    let words = ["is for another host", "not valid for name"];
    says_once_at(&address, other.redis(), &words);
    // Without TLS, and the other way around.
    let plain = Redis::builder(secure.url_of("127.0.0.1").replace("rediss://", "redis://"));
    let address = format!("127.0.0.1:{}", secure.port);
    says_once_at(&address, plain, &["begins with `rediss://`"]);
    let plain = Server::start_on_port();
    let address = format!("127.0.0.1:{}", plain.port());
    let secured = Redis::builder(format!("rediss://{address}"));
    let secured = secured.connect_timeout(2 * TIMEOUT);
    says_once_at(&address, secured, &["begins with `redis://`"]);
}
