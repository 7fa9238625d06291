//! Tags on one server: requests, values of other programs, another master, a server that is full.

use std::{
    convert::Infallible,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use cache_aside::{
    Cache, CacheBuilder, Loaded, Lookup, Record, Redis, Source, TtlRemaining,
    store::{Entry, Store, TAG_CLOCK_FIELD, TagKeys, TagValues, TaggedStore},
};
use redis::cmd;

use crate::{
    support::{Server, load_loaf, loaf, until},
    wire::{commands, lines},
};

const LIFE: Duration = Duration::from_secs(600);

fn store(server: &Server) -> Arc<dyn Store> {
    Redis::builder(server.url()).build().unwrap().store()
}

fn tags(store: &Arc<dyn Store>) -> &dyn TaggedStore {
    store.tagged().unwrap()
}

fn keys() -> TagKeys {
    TagKeys::of("test", &["a", "b"]).unwrap()
}

fn read(store: &Arc<dyn Store>) -> TagValues {
    tags(store).read_tags(&keys(), LIFE).unwrap()
}

fn end(store: &Arc<dyn Store>) {
    let lag = Some(LIFE);
    tags(store).invalidate_tags(&keys(), LIFE, lag).unwrap();
}

#[test]
fn an_entry_and_its_tags_are_read_in_one_pipeline() {
    let server = Server::start();
    let store = store(&server);
    let keys = keys();
    let read = |with_ttl| {
        let read = tags(&store).read_under_tags("test:k", with_ttl, &keys, LIFE);
        read.unwrap()
    };
    let seen = commands(&server, || drop(read(false)));
    let missing = ["mget", "hgetall", "ping", "evalsha", "script", "evalsha"];
    assert_eq!(seen, missing);
    let seen = commands(&server, || drop(read(false)));
    assert_eq!(seen, ["mget", "hgetall", "ping"]);
    let seen = commands(&server, || drop(read(true)));
    assert_eq!(seen, ["mget", "pttl", "hgetall", "ping"]);
    let seen = commands(&server, || end(&store));
    assert_eq!(seen, ["evalsha", "script", "evalsha"]);
    assert_eq!(commands(&server, || end(&store)), ["evalsha"]);
}

/// The new master may lack the latest values of the clock.
#[test]
fn the_first_invalidation_on_a_server_that_has_taken_over_begins_an_epoch() {
    let server = Server::start();
    let store = store(&server);
    end(&store);
    let before = read(&store);
    // It gets another replication ID, as each server that takes over does.
    let mut admin = server.connect();
    for of in [["127.0.0.1", "1"], ["NO", "ONE"]] {
        cmd("REPLICAOF").arg(&of).exec(&mut admin).unwrap();
    }
    assert_eq!(read(&store), before, "entries from before are good");
    end(&store);
    let after = read(&store);
    assert!(!after.clock.has_epoch_of(before.clock));
    end(&store);
    assert!(read(&store).clock.covers(after.clock), "once");
}

#[test]
fn a_value_of_another_program_is_no_value() {
    let server = Server::start();
    let store = store(&server);
    let mut admin = server.connect();
    let keys = keys();
    let last = keys.tags.len() - 1;
    for foreign in ["HSET", "SET"] {
        let mut put = |key: &str| {
            cmd("DEL").arg(key).exec(&mut admin).unwrap();
            let mut put = cmd(foreign);
            put.arg(key).arg("1");
            if foreign == "HSET" {
                put.arg("1");
            }
            put.exec(&mut admin).unwrap();
        };
        end(&store);
        let before = read(&store);
        put(&keys.tags[last]);
        assert_eq!(read(&store), before);
        end(&store);
        put(&keys.clock);
        let after = read(&store);
        assert!(!after.clock.has_epoch_of(before.clock));
        assert_eq!(after.tags, [after.clock, after.clock]);
        put(&keys.clock);
        end(&store);
        assert!(!read(&store).clock.has_epoch_of(after.clock));
    }
    cmd("DEL").arg(&keys.floor).exec(&mut admin).unwrap();
    let mut put = cmd("HSET");
    put.arg(&keys.floor)
        .arg("1")
        .arg("1")
        .exec(&mut admin)
        .unwrap();
    assert!(!read(&store).has_floor);
    end(&store);
    assert!(read(&store).has_floor);
}

#[test]
fn a_full_server_invalidates_tags_and_gives_no_missing_ones() {
    let server = Server::start();
    let store = store(&server);
    end(&store);
    let before = read(&store);
    let mut full = cmd("CONFIG");
    full.arg("SET").arg("maxmemory").arg(1);
    full.exec(&mut server.connect()).unwrap();
    assert_eq!(read(&store), before);
    end(&store);
    let after = read(&store);
    assert!(!before.clock.covers(after.newest()));
    let other = TagKeys::of("test", &["other"]).unwrap();
    let refused = tags(&store).read_tags(&other, LIFE).unwrap_err();
    assert!(format!("{refused:?}").contains("Rejected"), "{refused:?}");
    let other = TagKeys::of("other", &["a"]).unwrap();
    tags(&store).invalidate_tags(&other, LIFE, None).unwrap();
}

#[test]
fn tags_work_where_the_user_may_not_ask_for_the_replication_id() {
    let server = Server::start_on_port();
    let mut user = cmd("ACL");
    user.arg("SETUSER").arg("plain").arg("on").arg("nopass");
    user.arg(&["~*", "+@all", "-info"]);
    user.exec(&mut server.connect()).unwrap();
    let url = format!("redis://plain:any@127.0.0.1:{}", server.port());
    let store = Redis::builder(url).build().unwrap().store();
    let before = read(&store);
    end(&store);
    let after = read(&store);
    assert!(after.clock.has_epoch_of(before.clock) && !before.clock.covers(after.newest()));
    // It was denied something, as it should be.
    cmd("ACL")
        .arg(&["LOG", "RESET"])
        .exec(&mut server.connect())
        .unwrap();
}

/// A program without tags, or of an older version, must not return what a tag may have ended.
#[test]
fn an_entry_under_tags_is_a_miss_for_a_cache_without_tags() {
    let server = Server::start();
    let store = store(&server);
    let clock = read(&store).clock.to_string();
    let mut put = cmd("HSET");
    put.arg("test:p-001").arg("name").arg("Rye");
    put.arg(TAG_CLOCK_FIELD).arg(clock);
    put.exec(&mut server.connect()).unwrap();
    let found = server.cache().get("p-001", load_loaf);
    assert!(!found.unwrap().is_hit());
    let (entry, left) = store.read_with_ttl("test:p-001").unwrap();
    assert!(matches!(entry, Entry::Record(_)) && matches!(left, TtlRemaining::Left(_)));
}

#[test]
fn many_threads_share_one_connection() {
    const THREADS: usize = 12;
    const TURNS: usize = 50;
    let server = Server::start();
    let redis = Redis::builder(server.url()).pool_size(1);
    let store = redis.build().unwrap().store();
    let mut admin = server.connect();
    for id in 0..3 {
        let mut put = cmd("HSET");
        put.arg(format!("test:{id}")).arg("id").arg(id);
        put.exec(&mut admin).unwrap();
        let mut expire = cmd("PEXPIRE");
        let expire = expire.arg(format!("test:{id}")).arg(600_000);
        expire.exec(&mut admin).unwrap();
    }
    let start = Barrier::new(THREADS);
    let read = |thread: usize, turn: usize| {
        // One of four is absent, and each thread has another pair of tags.
        let (id, with_ttl) = ((thread + turn) % 4, turn.is_multiple_of(2));
        let tag = (thread % 3).to_string();
        let keys = TagKeys::of("test", &[&tag, "all"]).unwrap();
        let data = format!("test:{id}");
        let read = tags(&store).read_under_tags(&data, with_ttl, &keys, LIFE);
        let (entry, left, values) = read.unwrap();
        let record = vec![(b"id".to_vec(), id.to_string().into_bytes())];
        let is_there = id < 3;
        let expected = [Entry::Absent, Entry::Record(record)];
        assert_eq!(entry, expected[usize::from(is_there)]);
        assert_eq!(left.left().is_some(), with_ttl && is_there);
        assert_eq!(values.tags, [values.clock; 2]);
    };
    let seen = commands(&server, || {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (start, read) = (&start, &read);
                scope.spawn(move || {
                    start.wait();
                    (0..TURNS).for_each(|turn| read(thread, turn));
                });
            }
        });
    });
    let pipelines = seen.iter().filter(|command| *command == "ping");
    assert!(pipelines.count() < THREADS * TURNS, "some are shared");
}

#[test]
fn an_invalidation_waits_for_replicas() {
    let server = Server::start_on_port();
    // As the user who may do everything.
    let url = format!("redis://127.0.0.1:{}", server.port());
    let redis = Redis::builder(url).wait_for_replicas(1);
    let store = redis
        .io_timeout(Duration::from_millis(400))
        .build()
        .unwrap()
        .store();
    let refused = tags(&store)
        .invalidate_tags(&keys(), LIFE, None)
        .unwrap_err();
    assert!(
        format!("{refused:?}").contains("have: 0, wanted: 1"),
        "{refused:?}"
    );
    let values = read(&store);
    assert_eq!(values.newest(), values.clock);
}

/// A cache whose one connection is open, and whose server knows all scripts.
fn warm(server: &Server, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
    let cache: Cache = set(server.builder()).build().unwrap();
    let tags = ["warm"];
    cache.options().tags(&tags).get("warm", load_loaf).unwrap();
    cache.invalidate_tag("warm").unwrap();
    cache
}

#[test]
fn a_hit_under_tags_is_one_pipeline_and_an_invalidation_one_command() {
    let server = Server::start();
    let cache = warm(&server, |cache| cache);
    let tags = ["a", "b"];
    let under = cache.options().tags(&tags);
    under.get("k", load_loaf).unwrap();
    let seen = commands(&server, || {
        assert!(under.get("k", load_loaf).unwrap().is_hit());
    });
    assert_eq!(seen, ["mget", "hgetall", "ping"]);
    let seen = commands(&server, || cache.invalidate_tags(tags).unwrap());
    assert_eq!(seen, ["evalsha"]);
    // A read, a lease and a fill. The tags live long enough.
    let seen = commands(&server, || {
        assert!(!under.get("k", load_loaf).unwrap().is_hit());
    });
    assert_eq!(seen, ["mget", "hgetall", "ping", "evalsha", "evalsha"]);
    // A new tag gets a value, and a longer life.
    let seen = commands(&server, || {
        cache.options().tags(&["c"]).get("l", load_loaf).unwrap();
    });
    let mut expected = vec!["mget", "hgetall", "ping"];
    expected.extend(["evalsha"; 4]);
    assert_eq!(seen, expected);
}

#[test]
fn a_batch_under_tags_reads_them_by_one_command() {
    let server = Server::start();
    let cache = warm(&server, |cache| cache);
    let tags = ["a"];
    let under = cache.options().tags(&tags);
    let rows = |ids: &[&str]| {
        let rows = ids.iter().map(|&id| (id.to_owned(), loaf()));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    under.get_many(["k", "l"], rows).unwrap();
    let seen = commands(&server, || {
        let found = under.get_many(["k", "l"], rows).unwrap();
        assert!(found.iter().all(Lookup::is_hit));
    });
    let reads = seen.iter().filter(|command| *command == "mget").count();
    assert_eq!(reads, 1, "{seen:?}");
    assert_eq!(seen[0], "mget");
}

#[test]
fn tags_of_the_loader_are_read_only_after_an_invalidation() {
    let server = Server::start();
    let cache = warm(&server, |cache| cache.loader_tags(true));
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(loaf()).tags(["a"]));
    let hit = || assert!(cache.options().get("k", load).unwrap().is_hit());
    cache.options().get("k", load).unwrap();
    assert_eq!(commands(&server, hit), ["mget", "hgetall", "ping"]);
    cache.invalidate_tag("b").unwrap();
    let seen = commands(&server, hit);
    assert_eq!(seen, ["mget", "hgetall", "ping", "mget"]);
}

#[test]
fn a_clear_by_tag_is_one_command() {
    let server = Server::start();
    let cache = warm(&server, |cache| cache.clear_by_tag(true));
    for id in 0..100 {
        cache.get(id, load_loaf).unwrap();
    }
    let seen = commands(&server, || assert_eq!(cache.clear().unwrap(), 0));
    assert_eq!(seen, ["evalsha"]);
    assert!(!cache.get(7, load_loaf).unwrap().is_hit());
}

/// As after `FLUSHALL`, or an eviction of all tags.
#[test]
fn a_server_that_has_lost_its_tags_answers_with_no_record_from_before() {
    let server = Server::start();
    let cache = server.cache();
    let tags = ["a"];
    let under = cache.options().tags(&tags);
    under.get("k", load_loaf).unwrap();
    let mut admin = server.connect();
    let keys = TagKeys::of("cache", &tags).unwrap();
    let lose = |admin: &mut redis::Connection, key: &str| {
        cmd("DEL").arg(key).exec(admin).unwrap();
    };
    // A missing tag has the value of the clock. Nothing was invalidated since the load.
    lose(&mut admin, &keys.tags[0]);
    assert!(under.get("k", load_loaf).unwrap().is_hit());
    cache.invalidate_tag("b").unwrap();
    lose(&mut admin, &keys.tags[0]);
    assert!(!under.get("k", load_loaf).unwrap().is_hit());
    // A missing clock begins an epoch.
    lose(&mut admin, &keys.clock);
    assert!(!under.get("k", load_loaf).unwrap().is_hit());
    assert!(under.get("k", load_loaf).unwrap().is_hit());
    let found = under.get("l", |id| {
        cmd("FLUSHALL").exec(&mut server.connect()).unwrap();
        load_loaf(id)
    });
    assert!(!found.unwrap().is_hit());
    assert!(!under.get("l", load_loaf).unwrap().is_hit());
}

#[test]
fn a_cache_without_tags_sends_nothing_about_them() {
    let server = Server::start();
    let cache: Cache = server.builder().near_cache(10).build().unwrap();
    until(|| cache.stats().tracking_live);
    let lines = lines(&server, || {
        cache.get("k", load_loaf).unwrap();
        let _ = cache.write("k", || Ok::<_, Infallible>(())).unwrap();
        cache.clear().unwrap();
    });
    assert!(
        !lines.iter().any(|line| line.contains("tags:")),
        "{lines:?}"
    );
}

#[test]
fn a_near_hit_under_tags_sends_nothing() {
    let server = Server::start();
    let cache: Cache = server.builder().near_cache(10).build().unwrap();
    let tags = ["a"];
    let source = || {
        let found = cache.options().tags(&tags).get("k", load_loaf);
        found.unwrap().source()
    };
    until(|| source() == Source::Near);
    let seen = commands(&server, || {
        for _ in 0..10 {
            assert_eq!(source(), Source::Near);
        }
    });
    // Both streams are pinged.
    assert!(seen.iter().all(|command| command == "ping"), "{seen:?}");
}

/// The invalidation comes while nobody listens.
#[test]
fn a_loss_of_the_stream_of_tags_leaves_no_old_near_entry() {
    let server = Server::start();
    let cache: Cache = server.builder().near_cache(10).build().unwrap();
    let other = server.cache();
    let tags = ["a"];
    let get = |fresh: &'static str| {
        let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("version", fresh)])));
        let found = cache.options().tags(&tags).get("k", load).unwrap();
        (
            found.record().unwrap()["version"].to_string(),
            found.source(),
        )
    };
    until(|| get("1").1 == Source::Near);
    let mut admin = server.connect();
    let mut kill = cmd("CLIENT");
    kill.arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes");
    kill.exec(&mut admin).unwrap();
    other.invalidate_tag("a").unwrap();
    until(|| get("2").0 == "2");
    until(|| get("3").1 == Source::Near);
    assert_eq!(get("4"), ("2".to_owned(), Source::Near));
}
