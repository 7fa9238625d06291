//! The wall clock of the server is stepped while it runs. Redis keeps each expiry as an instant of
//! that clock, so a step back lengthens what exists, and a step forward ends it.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use cache_aside::{
    Cache, CacheBuilder, Loaded, Lookup, Record, Source, scripts,
    store::{Keys, Token},
};
use redis::{Connection, Script};

use crate::support::{Server, until};

pub(crate) const HOUR: i64 = 3600;

/// A lease or a guard that dies is given this.
const BRIEF: Duration = Duration::from_millis(300);

/// Far longer than any test takes: what should not lapse does not.
const LONG: Duration = Duration::from_secs(60);

/// Takes the lease of a record as a process does that is killed during its load.
pub(crate) fn leave_a_lease(connection: &mut Connection, keys: &Keys, ttl: Duration) {
    let script = Script::new(scripts::ACQUIRE);
    let mut call = script.key(&keys.data);
    call.key(&keys.lease).arg(Token::random().as_bytes());
    call.arg(millis(ttl)).arg("skip");
    let [answer]: [String; 1] = call.invoke(connection).unwrap();
    assert_eq!(answer, "acquired");
}

/// Sets a guard as a process does that is killed during its write.
fn leave_a_guard(connection: &mut Connection, keys: &Keys, ttl: Duration) {
    let script = Script::new(scripts::GUARD);
    let mut call = script.key(&keys.data);
    call.key(&keys.lease).arg(Token::random().as_bytes());
    call.arg(Token::random().as_bytes()).arg(millis(ttl));
    call.invoke::<()>(connection).unwrap();
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap()
}

fn keys(id: &str) -> Keys {
    Keys::of(format!("test:{id}"))
}

/// The remaining TTL of a key.
fn left(server: &Server, key: &str) -> Duration {
    let left = redis::cmd("PTTL").arg(key).query(&mut server.connect());
    Duration::from_millis(left.unwrap())
}

fn version(number: u64) -> Record {
    Record::from([("version", number.to_string())])
}

/// Looks up a record. A load finds it in this version.
fn get(cache: &Cache, number: u64) -> Lookup<Record> {
    let load = |_: &str| Ok::<_, Infallible>(Some(version(number)));
    cache.get("k", load).unwrap()
}

fn has(found: &Lookup<Record>, number: u64) -> bool {
    found
        .record()
        .is_some_and(|record| **record == version(number))
}

#[test]
fn a_lease_of_a_dead_process_lapses_in_its_ttl_after_a_step_back() {
    let server = Server::start_with_clock();
    for name in ["single", "batch", "pushed"] {
        let builder = server.builder::<Record>().tracking(name == "pushed");
        let cache = builder.build().unwrap();
        leave_a_lease(&mut server.connect(), &keys(name), BRIEF);
        server.step_clock(-HOUR);
        assert!(left(&server, &keys(name).lease) > LONG);
        let found = match name {
            "batch" => {
                let load = |_: &[&str]| Ok::<_, Infallible>([(name, version(1))]);
                cache.get_many([name], load).unwrap().remove(0)
            }
            _ => cache
                .get(name, |_| Ok::<_, Infallible>(Some(version(1))))
                .unwrap(),
        };
        // A lookup that waits for `wait_timeout` is degraded.
        assert_eq!(found.source(), Source::Loaded, "{name}: {found:?}");
        server.step_clock(HOUR);
    }
}

#[test]
fn a_guard_of_a_dead_writer_lapses_in_its_ttl_after_a_step_back() {
    let server = Server::start_with_clock();
    leave_a_guard(&mut server.connect(), &keys("k"), BRIEF);
    server.step_clock(-HOUR);
    assert!(left(&server, &keys("k").lease) > LONG);
    let cache = server.cache();
    until(|| get(&cache, 1).is_hit());
}

/// The key lives as long as any writer. So the place of the dead one must end by itself.
#[test]
fn a_place_of_a_dead_writer_lapses_beside_writers_that_come_after_a_step_back() {
    let server = Server::start_with_clock();
    let cache = server.cache();
    leave_a_guard(&mut server.connect(), &keys("k"), BRIEF);
    server.step_clock(-HOUR);
    let write = || cache.write("k", || Ok::<_, Infallible>(())).unwrap();
    assert!(write().invalidation_error().is_none());
    // The end of a write shortens the guard, without any reader.
    assert!(left(&server, &keys("k").lease) <= BRIEF);
    let nonce = || -> Option<String> {
        let nonce = redis::cmd("HGET")
            .arg(keys("k").lease)
            .arg("nonce")
            .to_owned();
        nonce.query(&mut server.connect()).unwrap()
    };
    until(|| {
        get(&cache, 1);
        assert!(write().invalidation_error().is_none());
        nonce().is_none()
    });
    get(&cache, 1);
    assert!(get(&cache, 1).is_hit());
}

#[test]
fn a_lease_of_a_dead_refresh_lapses_in_its_ttl_after_a_step_back() {
    let server = Server::start_with_clock();
    let cache = with_grace(&server).build().unwrap();
    get(&cache, 1);
    leave_a_lease(&mut server.connect(), &keys("k"), BRIEF);
    server.step_clock(-HOUR);
    until(|| get(&cache, 2).source() == Source::Refreshed);
}

#[test]
fn a_failed_refresh_is_tried_again_after_its_pause_and_a_step_back() {
    let server = Server::start_with_clock();
    let cache = with_grace(&server).lease_ttl(BRIEF).build().unwrap();
    get(&cache, 1);
    cache.expire("k").unwrap();
    let failed = cache.get("k", |_| Err::<Option<Record>, _>("no primary"));
    assert!(failed.unwrap().refresh_error().is_some());
    server.step_clock(-HOUR);
    assert!(left(&server, &keys("k").lease) > LONG);
    until(|| get(&cache, 2).source() == Source::Refreshed);
}

fn with_grace(server: &Server) -> CacheBuilder<Record> {
    let builder = server.builder::<Record>().ttl(Duration::from_secs(1));
    builder.grace(Duration::from_secs(10))
}

/// A cache that reads the TTL notices that a record has more time left than it was given.
#[test]
fn a_record_that_outlives_its_ttl_by_a_step_back_is_reloaded_by_one_caller() {
    let server = Server::start_with_clock();
    let early = |builder: CacheBuilder<Record>| builder.early_refresh(1.0);
    let near = |builder: CacheBuilder<Record>| builder.near_cache(10);
    let grace = |_| with_grace(&server);
    let kinds: [(&str, &dyn Fn(_) -> CacheBuilder<Record>); 3] =
        [("early", &early), ("near", &near), ("grace", &grace)];
    for (name, kind) in kinds {
        let short = || server.builder().ttl(Duration::from_secs(1));
        let cache = kind(short()).build().unwrap();
        let strangers = kind(short()).build().unwrap();
        get(&cache, 1);
        server.step_clock(-HOUR);
        assert!(left(&server, &keys("k").data) > LONG);
        // A near cache may return its record until the TTL of the record ends.
        until(|| has(&get(&cache, 2), 2));
        assert!(
            left(&server, &keys("k").data) <= Duration::from_secs(11),
            "{name}"
        );
        assert!(has(&get(&strangers, 3), 2), "{name}: it has its TTL again");
        assert_eq!(cache.stats().loads + strangers.stats().loads, 2, "{name}");
        server.step_clock(HOUR);
        cache.invalidate("k").unwrap();
    }
}

#[test]
fn records_of_a_batch_that_outlive_their_ttl_by_a_step_back_are_reloaded() {
    let server = Server::start_with_clock();
    let cache = with_grace(&server).build().unwrap();
    let ids = ["a", "b", "c"];
    let get = |number| {
        let load = |ids: &[&str]| {
            let all = ids.iter().map(|id| ((*id).to_owned(), version(number)));
            Ok::<_, Infallible>(all.collect::<Vec<_>>())
        };
        cache.get_many(ids, load).unwrap()
    };
    get(1);
    server.step_clock(-HOUR);
    assert!(get(2).iter().all(|found| has(found, 2)));
    assert!(get(3).iter().all(|found| has(found, 2)));
}

#[test]
fn the_absence_of_a_record_that_outlives_its_ttl_by_a_step_back_is_loaded_again() {
    let server = Server::start_with_clock();
    let ttl = Duration::from_secs(1);
    let cache = with_grace(&server).negative_ttl(ttl).build().unwrap();
    cache.get("k", |_| Ok::<_, Infallible>(None)).unwrap();
    assert!(get(&cache, 1).record().is_none());
    server.step_clock(-HOUR);
    assert!(has(&get(&cache, 1), 1));
    assert!(get(&cache, 2).is_hit());
}

/// A TTL that a lookup or a loader chose is no sign of a step.
#[test]
fn a_record_with_a_longer_ttl_than_the_setting_is_left_alone() {
    let server = Server::start_with_clock();
    let cache = with_grace(&server).build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(Some(version(1))).ttl(LONG));
    cache.options().get("k", load).unwrap();
    assert!(get(&cache, 2).is_hit());
    // Another process knows the TTL of its own lookups.
    let stranger = with_grace(&server).build().unwrap();
    let options = stranger.options().ttl(LONG);
    let found = options.get("k", |_| Ok::<_, Infallible>(Some(version(2))));
    assert!(found.unwrap().is_hit());
}

/// Each lease says how long it was given. So a process with a shorter `lease_ttl` shortens nothing.
#[test]
fn a_process_with_a_shorter_lease_ttl_does_not_shorten_the_lease_of_another() {
    let server = Server::start_with_clock();
    let slow = server.builder().lease_ttl(LONG).max_load_time(LONG);
    let slow = slow.build().unwrap();
    let hasty = server
        .builder()
        .lease_ttl(BRIEF)
        .wait_timeout(BRIEF)
        .poll(BRIEF / 10);
    let hasty = hasty.build().unwrap();
    let found = slow.get("k", |_| {
        assert_eq!(get(&hasty, 1).source(), Source::Degraded);
        assert!(left(&server, &keys("k").lease) > LONG / 2);
        Ok::<_, Infallible>(Some(version(1)))
    });
    assert!(has(&found.unwrap(), 1));
    assert!(get(&hasty, 2).is_hit());
    let written = slow.write("k", || {
        get(&hasty, 2);
        assert!(left(&server, &keys("k").lease) > LONG / 2);
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().invalidation_error().is_none());
}

/// A lease whose holder lives is renewed, so a step back costs it nothing.
#[test]
fn a_living_holder_keeps_its_lease_after_a_step_back() {
    let server = Server::start_with_clock();
    let cache = server.builder().lease_ttl(BRIEF).build().unwrap();
    let hasty = server.builder().wait_timeout(2 * BRIEF).poll(BRIEF / 10);
    let hasty = hasty.build().unwrap();
    let load = |_: &str| {
        server.step_clock(-HOUR);
        // Meanwhile the lease is shortened, and renewed.
        assert_eq!(get(&hasty, 1).source(), Source::Degraded);
        Ok::<_, Infallible>(Some(version(1)))
    };
    cache.get("k", load).unwrap();
    assert_eq!(cache.stats().refused_fills, 0);
    assert!(get(&cache, 2).is_hit());
}

#[test]
fn a_step_forward_during_a_load_refuses_its_fill() {
    let server = Server::start_with_clock();
    let (cache, other) = (server.cache(), server.cache());
    let found = cache.get("k", |_| {
        server.step_clock(HOUR);
        other.invalidate("k").unwrap();
        assert_eq!(get(&other, 2).source(), Source::Loaded);
        Ok::<_, Infallible>(Some(version(1)))
    });
    // The lookup began before the invalidation.
    assert!(has(&found.unwrap(), 1));
    assert_eq!(cache.stats().refused_fills, 1);
    assert!(has(&get(&cache, 3), 2));
}

/// The guard lapses with the step, and a reader fills the record from before the commit.
#[test]
fn a_step_forward_during_a_write_leaves_nothing_old() {
    let server = Server::start_with_clock();
    let (cache, other) = (server.cache(), server.cache());
    let primary = AtomicU64::new(1);
    let read = |cache: &Cache| get(cache, primary.load(SeqCst));
    let written = cache.write("k", || {
        server.step_clock(HOUR);
        read(&other);
        assert!(read(&other).is_hit(), "the guard has lapsed");
        primary.store(2, SeqCst);
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().invalidation_error().is_none());
    assert!(has(&read(&other), 2));
    assert!(has(&read(&cache), 2));
}
