//! Versions and writes through on one server: requests, floors as keys, and a server that is full.

use std::{convert::Infallible, time::Duration};

use cache_aside::{
    Cache, CacheBuilder, LoadContext, Loaded, Redis, Source,
    store::{Acquire, Floor, Keys, Recheck, Token},
};

use crate::{
    support::{Server, load_loaf, loaf},
    wire::{commands, lines},
};

const LAG: Duration = Duration::from_secs(600);

fn versioned(server: &Server) -> Cache {
    let builder: CacheBuilder = server.builder().versions(LAG);
    let cache = builder.build().unwrap();
    cache.ttl_remaining("warm").unwrap();
    cache
}

fn through(cache: &Cache) -> bool {
    let change = || Ok::<_, Infallible>(((), Some(loaf())));
    cache.write_through("p-001", change).unwrap().is_cached()
}

#[test]
fn a_write_through_is_two_requests_and_the_next_read_a_hit() {
    let server = Server::start();
    for cache in [server.cache(), versioned(&server)] {
        cache.ttl_remaining("warm").unwrap();
        let seen = commands(&server, || assert!(through(&cache)));
        assert_eq!(seen, ["evalsha"; 2]);
        let seen = commands(&server, || {
            assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
        });
        assert_eq!(seen, ["hgetall"]);
    }
}

/// Each call of a cache.
fn calls(cache: &Cache) {
    cache.invalidate("p-001").unwrap();
    cache.get("p-001", load_loaf).unwrap();
    cache.update_field("p-001", "stock", "41").unwrap();
    cache.expire("p-001").unwrap();
    cache.get("p-001", load_loaf).unwrap();
    cache.invalidate_at("p-001", 7).unwrap();
    cache
        .get_many(["p-001"], |_: &[&str]| {
            Ok::<_, Infallible>([("p-001", loaf())])
        })
        .unwrap();
    cache.invalidate_many(["p-001"]).unwrap();
    drop(cache.write("p-001", || Ok::<_, Infallible>(())).unwrap());
    assert!(through(cache));
}

#[test]
fn without_versions_no_request_has_a_third_key() {
    let server = Server::start();
    let cache = server.cache();
    cache.ttl_remaining("warm").unwrap();
    let mut plain = lines(&server, || calls(&cache));
    // The source of a script is about floors, too.
    plain.retain(|line| !line.contains("\"SCRIPT\""));
    assert!(
        !plain.iter().any(|line| line.contains("floor")),
        "{plain:?}"
    );
    let scripts = plain.iter().filter(|line| line.contains("EVALSHA"));
    let two_keys = |line: &&String| line.split('"').nth(5) == Some("2");
    assert!(scripts.clone().count() > 9);
    assert!(scripts.clone().all(|line| two_keys(&line)), "{plain:?}");
}

/// A floor costs no request. Only an update in place reads its TTL and sets it.
#[test]
fn versions_cost_no_round_trip() {
    let server = Server::start();
    let (plain, versioned) = (server.cache(), versioned(&server));
    plain.ttl_remaining("warm").unwrap();
    let plain = commands(&server, || calls(&plain));
    let mut with = commands(&server, || calls(&versioned));
    for added in ["pttl", "set"] {
        let at = with.iter().position(|command| command == added).unwrap();
        with.remove(at);
    }
    assert_eq!(plain, with);
}

fn floor_of(server: &Server, key: &str) -> (Option<String>, i64) {
    let mut direct = server.connect();
    let floor = redis::cmd("GET").arg(key).query(&mut direct).unwrap();
    let left = redis::cmd("PTTL").arg(key).query(&mut direct).unwrap();
    (floor, left)
}

#[test]
fn a_floor_is_a_key_in_the_slot_of_its_record_with_the_lag_as_its_ttl() {
    let server = Server::start();
    let cache = versioned(&server);
    for (id, key) in [
        ("p-001", "floor:{test:p-001}"),
        ("{shop}:p-001", "floor:test:{shop}:p-001"),
    ] {
        cache.invalidate_at(id, (1 << 53) + 1).unwrap();
        let (floor, left) = floor_of(&server, key);
        assert_eq!(floor.as_deref(), Some("00009007199254740993"));
        let lag = i64::try_from(LAG.as_millis()).unwrap();
        assert!(left > lag / 2 && left <= lag, "{left}");
        cache.invalidate(id).unwrap();
        assert_eq!(floor_of(&server, key).0.as_deref(), Some("?"));
    }
}

#[test]
fn a_value_of_another_program_at_the_floor_key_makes_loads_read_the_primary() {
    let server = Server::start();
    for parameter in ["protocol=resp2", "protocol=resp3"] {
        let redis = Redis::builder(server.url_with(parameter));
        let builder = Cache::builder(redis).prefix("test:").versions(LAG);
        let cache: Cache = builder.build().unwrap();
        for value in [
            &["SET", "floor:{test:p-001}", "7", "PX", "60000"] as &[_],
            &[
                "SET",
                "floor:{test:p-001}",
                "0000000000000000000x",
                "PX",
                "60000",
            ],
            &["RPUSH", "floor:{test:p-001}", "00000000000000000007"],
        ] {
            let mut direct = server.connect();
            redis::cmd("DEL")
                .arg("floor:{test:p-001}")
                .exec(&mut direct)
                .unwrap();
            redis::cmd(value[0])
                .arg(&value[1..])
                .exec(&mut direct)
                .unwrap();
            redis::cmd("PEXPIRE")
                .arg(&["floor:{test:p-001}", "60000"])
                .exec(&mut direct)
                .unwrap();
            let mut seen = Vec::new();
            let load = |context: &LoadContext<'_>| {
                seen.push(context.read_primary());
                Ok::<_, Infallible>(Loaded::new(loaf()).no_store())
            };
            let found = cache.options().get_with_context("p-001", load).unwrap();
            assert_eq!(found.source(), Source::Loaded, "{value:?}");
            assert_eq!(seen, [true], "{value:?}");
            // A write replaces it.
            cache.invalidate_at("p-001", 9).unwrap();
            let (floor, _) = floor_of(&server, "floor:{test:p-001}");
            assert_eq!(floor.as_deref(), Some("?"), "{value:?}");
        }
    }
}

/// No step raises a floor and leaves the lease, except during the migration of a slot.
#[test]
fn a_fill_below_the_floor_is_refused_even_under_a_live_lease() {
    let server = Server::start();
    let store = Redis::builder(server.url()).build().unwrap().store();
    let versioned = store.versioned().unwrap();
    let keys = Keys::of("test:{t}:p-001".to_owned()).with_floor(LAG);
    let mut other = Keys::of("test:{t}:other".to_owned());
    other.floor.clone_from(&keys.floor);
    let record = vec![(b"name".to_vec(), b"Rye".to_vec())];
    let leased = || {
        let token = Token::random();
        let answer = store.acquire(&keys, token, LAG, Recheck::Never).unwrap();
        assert!(matches!(answer, Acquire::Acquired(_)));
        token
    };
    let token = leased();
    versioned.invalidate_at(&other, 7).unwrap();
    assert!(!versioned.fill_at(&keys, token, LAG, &record, 6).unwrap());
    // The lease has ended, so nobody waits for it.
    let token = leased();
    assert!(versioned.fill_at(&keys, token, LAG, &record, 7).unwrap());
}

/// It refuses to set a key, but only before the first deletion of a script.
#[test]
fn a_full_server_keeps_floors_too() {
    let server = Server::start();
    let cache = versioned(&server);
    cache.get("p-001", load_loaf).unwrap();
    let maxmemory = |bytes: &str| {
        let mut direct = server.connect();
        let mut set = redis::cmd("CONFIG");
        set.arg(&["SET", "maxmemory", bytes])
            .exec(&mut direct)
            .unwrap();
    };
    maxmemory("1");
    assert!(cache.invalidate_at("p-001", 7).unwrap());
    let (floor, _) = floor_of(&server, "floor:{test:p-001}");
    assert_eq!(floor.as_deref(), Some("00000000000000000007"));
    cache.invalidate_many(["p-001"]).unwrap();
    let (floor, _) = floor_of(&server, "floor:{test:p-001}");
    assert_eq!(floor.as_deref(), Some("?"));
    maxmemory("0");
}

/// A pending invalidation has no version when it is replayed.
#[test]
fn the_replay_of_an_invalidation_makes_the_floor_unknown() {
    let server = Server::start();
    let brief = Duration::from_millis(200);
    let redis = Redis::builder(server.url())
        .io_timeout(brief)
        .connect_timeout(brief);
    let builder = Cache::builder(redis).prefix("test:").versions(LAG);
    let cache: Cache = builder.build().unwrap();
    server.freeze();
    cache.invalidate_at("p-001", 7).unwrap_err();
    // A lookup meanwhile knows no floor.
    let mut seen = Vec::new();
    let load = |context: &LoadContext<'_>| {
        seen.push((context.min_version(), context.read_primary()));
        Ok::<_, Infallible>(Some(loaf()))
    };
    let found = cache.options().get_with_context("p-001", load).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    assert_eq!(seen, [(None, true)]);
    server.thaw();
    crate::support::until_recovered(&cache);
    let store = Redis::builder(server.url()).build().unwrap().store();
    let keys = Keys::of("test:p-001".to_owned()).with_floor(LAG);
    let answer = store
        .acquire(&keys, Token::random(), LAG, Recheck::Always)
        .unwrap();
    assert_eq!(answer, Acquire::Acquired(Floor::Unknown));
}
