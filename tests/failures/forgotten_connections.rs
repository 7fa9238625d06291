//! Something on the way has forgotten the open connections, as a NAT or a firewall does with idle
//! ones: their packets vanish, and nothing says so. New connections work.

use std::{
    convert::Infallible,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis, RedisBuilder, Source};

use crate::{
    broken_connections::use_all_connections,
    relay::Relay,
    support::{Server, load_loaf, loaf, until, until_recovered},
};

const POOL: u32 = 16;
const IO: Duration = Duration::from_millis(500);

/// How much longer a busy machine may take to open a connection.
const ROOM: Duration = Duration::from_secs(1);

fn redis(relay: &Relay) -> RedisBuilder {
    Redis::builder(relay.url()).pool_size(POOL).io_timeout(IO)
}

/// What the callers saw. The number of degraded lookups of many callers depends on the machine:
/// while the breaker is open, they do not wait.
#[derive(Debug, Default)]
struct Seen {
    lookups: u32,
    degraded: u32,
    failed_invalidations: u32,
    /// When the last call ended that did not reach Redis.
    outage: Duration,
}

/// Forgets 16 idle connections. Then these callers read and invalidate for three seconds.
fn forget(callers: u32) -> (Cache, Seen) {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = Cache::builder(redis(&relay)).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    use_all_connections(&cache, POOL);
    relay.forget_connections();
    let (began, seen) = (Instant::now(), Mutex::new(Seen::default()));
    thread::scope(|scope| {
        for caller in 0..callers {
            let (cache, seen) = (&cache, &seen);
            scope.spawn(move || {
                while began.elapsed() < 6 * IO {
                    let found = cache.get("p-001", load_loaf).unwrap();
                    assert_eq!(**found.record().unwrap(), loaf());
                    let is_degraded = found.source() == Source::Degraded;
                    let is_failed = cache.invalidate(format!("other-{caller}")).is_err();
                    let mut seen = seen.lock().unwrap();
                    seen.lookups += 1;
                    seen.degraded += u32::from(is_degraded);
                    seen.failed_invalidations += u32::from(is_failed);
                    if is_degraded || is_failed {
                        seen.outage = began.elapsed();
                    }
                    drop(seen);
                    // The rate of a real program; without it, this would count the speed of the
                    // machine.
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{callers} callers: {seen:?}");
    until_recovered(&cache);
    assert_eq!(cache.get("p-001", load_loaf).unwrap().source(), Source::Hit);
    (cache, seen)
}

#[test]
fn one_caller_pays_one_timeout_for_sixteen_forgotten_connections() {
    let (_, seen) = forget(1);
    assert!(seen.outage < IO + ROOM, "{seen:?}");
    assert!((1..=2).contains(&seen.degraded), "{seen:?}");
    assert_eq!(seen.failed_invalidations, 0, "{seen:?}");
}

#[test]
fn sixteen_callers_pay_one_timeout_each_for_sixteen_forgotten_connections() {
    let (_, seen) = forget(16);
    assert!(seen.outage < IO + ROOM, "{seen:?}");
}

#[test]
fn sixty_four_callers_wait_no_longer_for_forgotten_connections_than_one() {
    let (_, seen) = forget(64);
    assert!(seen.outage < IO + ROOM, "{seen:?}");
}

/// The server is silent on each connection, new or old.
#[test]
fn the_connections_of_a_server_that_pauses_are_used_again() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = Cache::builder(redis(&relay)).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    use_all_connections(&cache, POOL);
    for _ in 0..3 {
        server.freeze();
        for _ in 0..3 {
            let began = Instant::now();
            let found = cache.get("p-001", load_loaf).unwrap();
            assert_eq!(found.source(), Source::Degraded);
            assert!(began.elapsed() < 3 * IO + ROOM, "{:?}", began.elapsed());
        }
        server.thaw();
        until(|| cache.get("p-001", load_loaf).unwrap().source() == Source::Hit);
    }
}

/// A full server refuses the new connection that would show that it is alive.
#[test]
fn a_pause_of_a_full_server_leaves_the_other_connections_in_use() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let cache = Cache::builder(redis(&relay)).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    use_all_connections(&cache, POOL);
    let mut direct = server.connect();
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxclients").arg(1);
    limit.exec(&mut direct).unwrap();
    server.freeze();
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    server.thaw();
    until(|| cache.get("p-001", load_loaf).unwrap().source() == Source::Hit);
    // All but those that timed out.
    let mut count = || {
        let list: String = redis::cmd("INFO")
            .arg("clients")
            .query(&mut direct)
            .unwrap();
        let count = list.split("connected_clients:").nth(1).unwrap();
        count.lines().next().unwrap().parse::<u32>().unwrap()
    };
    assert!(count() > POOL / 2, "{} connections", count());
}

/// Its connection is forgotten too. What is near then ends in time, and comes back.
#[test]
fn a_near_cache_whose_connection_is_forgotten_listens_again_and_is_never_stale() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let bound = Duration::from_secs(1);
    let near = Cache::builder(redis(&relay)).prefix("test:");
    let near: Cache = near.near_cache(100).near_staleness(bound).build().unwrap();
    let other = server.cache();
    let number = |cache: &Cache, fresh: u32| {
        let version = cache_aside::Record::from([("version", fresh.to_string())]);
        let found = cache.get("k", |_| Ok::<_, Infallible>(Some(version)));
        let found = found.unwrap();
        let version = found.record().unwrap().get("version").unwrap().to_owned();
        (version, found.source())
    };
    until(|| number(&near, 1).1 == Source::Near);
    relay.forget_connections();
    other.invalidate("k").unwrap();
    let forgotten = Instant::now();
    while forgotten.elapsed() < bound {
        if number(&near, 2).1 != Source::Near {
            break;
        }
    }
    // From here on, the version from before is stale.
    thread::sleep(bound.saturating_sub(forgotten.elapsed()));
    until(|| {
        let (version, source) = number(&near, 2);
        assert_eq!(version, "2");
        source == Source::Near
    });
    let outage = forgotten.elapsed();
    println!("near again after {outage:?}");
    assert!(outage < bound + 2 * IO + 2 * ROOM, "{outage:?}");
}
