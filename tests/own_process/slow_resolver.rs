//! A resolver that takes long to look up a host name: the bounds of calls, of `build` and of a drop
//! hold, and one thread waits for the resolver.

use std::time::{Duration, Instant};

use crate::{
    support::{Server, chain, load_loaf, until},
    system::{self, SLOW_HOST},
};
use cache_aside::{Cache, Redis, RedisBuilder, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

const TIMEOUT: Duration = Duration::from_millis(200);

/// How long a lookup of the name takes: much longer than all that a call may wait for.
const LOOKUP: Duration = Duration::from_secs(8);

/// What a call or a drop may take on a busy machine.
const BOUND: Duration = Duration::from_secs(3);

const REASON: &str = "the lookup of the host name took longer than 200ms";

fn at(url: impl Into<String>) -> RedisBuilder {
    Redis::builder(url)
        .connect_timeout(TIMEOUT)
        .checkout_timeout(2 * TIMEOUT)
        .io_timeout(TIMEOUT)
        .probe_interval(MS(50))
}

fn named(server: &Server) -> String {
    server.url().replace("127.0.0.1", SLOW_HOST)
}

fn near(redis: impl Into<cache_aside::Backend>) -> Cache {
    let builder = Cache::builder(redis).prefix("test:").near_cache(10);
    builder.build().unwrap()
}

fn source(cache: &Cache) -> Source {
    cache.get("p-001", load_loaf).unwrap().source()
}

#[track_caller]
fn in_time<T>(act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = act();
    let elapsed = began.elapsed();
    assert!(elapsed < BOUND, "{elapsed:?}");
    done
}

fn resolvers() -> usize {
    system::threads_named("cache-aside-res")
}

#[test]
fn a_start_with_a_slow_resolver_takes_no_longer_than_the_timeouts() {
    own_process!(system::variables);
    let server = Server::start_on_port();
    system::lookups_take(LOOKUP);
    let redis = at(named(&server));
    let required = in_time(|| redis.clone().require_connection(true).build());
    let why = chain(&required.unwrap_err());
    assert!(why.contains(REASON), "{why}");
    let cache = in_time(|| near(redis));
    let found = in_time(|| cache.get("p-001", load_loaf)).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains(REASON), "{why}");
    in_time(|| drop(cache));
}

#[test]
fn calls_and_drops_do_not_wait_for_a_slow_resolver() {
    own_process!(system::variables);
    let server = Server::start_on_port();
    let cache = near(at(named(&server)).require_connection(true));
    until(|| source(&cache) == Source::Near);
    system::lookups_take(LOOKUP);
    for connections in ["normal", "pubsub"] {
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", connections]);
        kill.exec(&mut server.connect()).unwrap();
    }
    let began = Instant::now();
    let mut round = 0;
    // Long enough for many attempts to connect: of the pool, the listener and the watcher.
    while began.elapsed() < 6 * TIMEOUT {
        round += 1;
        let id = format!("p-{round}");
        in_time(|| cache.get(&id, load_loaf)).unwrap();
        in_time(|| cache.invalidate(&id)).unwrap_err();
        assert_eq!(resolvers(), 1, "one thread waits, whoever asks");
    }
    assert!(!cache.stats().tracking_live);
    in_time(|| drop(cache));
}

#[test]
fn a_resolver_that_is_slower_than_the_timeout_is_waited_for_in_the_background() {
    own_process!(system::variables);
    let server = Server::start_on_port();
    system::lookups_take(2 * TIMEOUT);
    let cache = near(at(named(&server)));
    assert_eq!(source(&cache), Source::Degraded);
    until(|| source(&cache) == Source::Near);
    system::is_well();
    drop(cache);
    until(|| system::threads_named("cache-aside") == 0);
}

#[cfg(feature = "tls")]
#[test]
fn a_slow_resolver_delays_no_call_with_tls() {
    use crate::secure::Secure;
    own_process!(system::variables);
    let secure = Secure::start_as(&[SLOW_HOST], &["--tls-auth-clients", "no"]);
    let redis = || {
        let redis = at(secure.url_of(SLOW_HOST)).connect_timeout(Duration::from_secs(1));
        redis.tls_root_certificate(secure.authority.pem())
    };
    let cache = near(redis());
    // The certificate is for the name, and not for the address.
    until(|| source(&cache) == Source::Near);
    system::lookups_take(LOOKUP);
    let built = in_time(|| redis().require_connection(true).build());
    let why = chain(&built.unwrap_err());
    assert!(
        why.contains("the lookup of the host name took longer"),
        "{why}"
    );
    let mut kill = redis::cmd("CLIENT");
    kill.arg(&["KILL", "TYPE", "normal"]);
    kill.exec(&mut secure.server.connect()).unwrap();
    for id in 0..5 {
        in_time(|| cache.get(id, load_loaf)).unwrap();
    }
    in_time(|| drop(cache));
}

#[cfg(feature = "cluster")]
#[test]
fn a_slow_resolver_delays_no_call_on_a_cluster() {
    use crate::support::acl;
    own_process!(system::variables);
    let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let mut add = redis::cmd("CLUSTER");
    add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    add.exec(&mut server.connect()).unwrap();
    let hosts = ["a", "b"].map(|host| format!("{host}.{SLOW_HOST}:{}", server.port()));
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    let url = url.replace(&format!("127.0.0.1:{}", server.port()), &hosts.join(","));
    let cache = near(at(&*url));
    until(|| source(&cache) == Source::Near);
    drop(cache);
    system::lookups_take(LOOKUP);
    let required = in_time(|| at(&*url).require_connection(true).build());
    let why = chain(&required.unwrap_err());
    assert!(why.contains(REASON), "{why}");
    let cache = in_time(|| near(at(&*url)));
    assert_eq!(in_time(|| source(&cache)), Source::Degraded);
    in_time(|| drop(cache));
}

#[cfg(feature = "sentinel")]
#[test]
fn a_slow_resolver_of_a_sentinel_delays_no_call() {
    use crate::{
        sentinel_set::{NAME, Sentinel, url_of},
        support::{alone, free_port},
    };
    own_process!(system::variables);
    let server = Server::start_on_port_with(&alone::NONE);
    let port = free_port();
    let _sentinel = Sentinel::start_as(&format!("port {port}"), port, server.port(), 1);
    let url = url_of([port].into_iter(), NAME).replace("127.0.0.1", SLOW_HOST);
    until(|| at(&*url).require_connection(true).build().is_ok());
    system::lookups_take(LOOKUP);
    let required = in_time(|| at(&*url).require_connection(true).build());
    let why = chain(&required.unwrap_err());
    assert!(why.contains(REASON), "{why}");
    let cache = in_time(|| near(at(&*url)));
    assert_eq!(in_time(|| source(&cache)), Source::Degraded);
    in_time(|| drop(cache));
}
