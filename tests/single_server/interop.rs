//! Other programs on the same keys: their records are hits for us, ours are plain hashes for them.

use std::{thread, time::Duration};

use crate::support::{Server, load_loaf, load_nothing, loaf, until};
use cache_aside::{Cache, Record, Redis, Source, TtlRemaining};

fn run<T: redis::FromRedisValue>(server: &Server, command: &[&str]) -> T {
    redis::cmd(command[0])
        .arg(&command[1..])
        .query(&mut server.connect())
        .unwrap()
}

/// A field that is not valid UTF-8.
fn write_no_text(server: &Server) {
    redis::cmd("HSET")
        .arg("test:p-001")
        .arg("stock")
        .arg(b"\xff".as_slice())
        .exec(&mut server.connect())
        .unwrap();
}

#[test]
fn a_hash_that_another_program_wrote_is_a_hit() {
    let server = Server::start();
    let _: u32 = run(
        &server,
        &["HSET", "test:p-001", "name", "Rye", "stock", "3"],
    );
    let _: u32 = run(&server, &["EXPIRE", "test:p-001", "30"]);
    let found = server.cache().get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Hit);
    let expected = Record::from([("name", "Rye"), ("stock", "3")]);
    assert_eq!(**found.record().unwrap(), expected);
}

#[test]
fn our_entry_is_a_plain_hash_with_a_ttl() {
    let server = Server::start();
    server.cache().get("p-001", load_loaf).unwrap();
    let keys: Vec<String> = run(&server, &["KEYS", "*"]);
    assert_eq!(keys, ["test:p-001"]);
    let flat: Vec<String> = run(&server, &["HGETALL", "test:p-001"]);
    let expected: Vec<_> = loaf()
        .iter()
        .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
        .collect();
    assert_eq!(flat, expected);
    let ttl: i64 = run(&server, &["TTL", "test:p-001"]);
    assert!((25..=30).contains(&ttl), "{ttl}");
}

#[test]
fn a_foreign_type_at_the_key_is_a_miss_and_is_replaced() {
    let server = Server::start();
    let cache = server.cache();
    for foreign in [
        &["SET", "test:p-001", "a string"][..],
        &["RPUSH", "test:p-001", "a", "list"],
    ] {
        run::<redis::Value>(&server, &["DEL", "test:p-001"]);
        run::<redis::Value>(&server, foreign);
        assert!(cache.get_fields("p-001", &["stock"]).unwrap().is_none());
        assert!(!cache.update_field("p-001", "stock", "1").unwrap());
        assert!(!cache.update("p-001", |_| panic!("no record")).unwrap());
        assert_eq!(
            cache.get("p-001", load_loaf).unwrap().source(),
            Source::Loaded
        );
        assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
    }
    assert_eq!(cache.stats().unreadable_entries, 2);
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_foreign_type_can_be_invalidated() {
    let server = Server::start();
    run::<redis::Value>(&server, &["SET", "test:p-001", "a string"]);
    assert!(server.cache().invalidate("p-001").unwrap());
    let ttl = server.cache().ttl_remaining("p-001").unwrap();
    assert_eq!(ttl, TtlRemaining::NoSuchKey);
}

#[test]
fn an_entry_that_does_not_decode_is_a_miss_and_is_replaced() {
    let server = Server::start();
    let _: u32 = run(&server, &["HSET", "test:p-001", "name", "Rye"]);
    write_no_text(&server);
    let cache = server.cache();
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
    let found = cache.get("p-001", load_loaf).unwrap();
    assert!(found.is_hit());
    assert_eq!(**found.record().unwrap(), loaf());
    assert_eq!(cache.stats().unreadable_entries, 1);
}

#[test]
fn an_unreadable_entry_is_counted_once_a_lookup() {
    let server = Server::start();
    let (holder, cache) = (server.cache(), server.cache());
    thread::scope(|scope| {
        holder
            .get("p-001", |id| {
                write_no_text(&server);
                scope.spawn(|| cache.get("p-001", load_loaf).unwrap());
                until(|| cache.stats().misses == 1);
                thread::sleep(Duration::from_millis(100)); // some polls
                load_loaf(id)
            })
            .unwrap();
    });
    assert_eq!(cache.stats().unreadable_entries, 1);
}

#[test]
fn a_lock_that_another_program_left_for_ever_does_not_block() {
    let server = Server::start();
    let _: () = run(&server, &["SET", "lock:{test:p-001}", "whoever"]);
    let cache: Cache = server
        .builder()
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Degraded
    );
    cache.invalidate("p-001").unwrap();
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

#[test]
fn caches_of_several_prefixes_share_one_pool() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).pool_size(1).build().unwrap();
    let products: Cache = Cache::builder(&redis).prefix("product:").build().unwrap();
    let people: Cache = Cache::builder(&redis).prefix("person:").build().unwrap();
    products.get("1", load_loaf).unwrap();
    assert_eq!(people.get("1", load_loaf).unwrap().source(), Source::Loaded);
    assert!(products.invalidate("1").unwrap());
    assert!(people.get("1", load_loaf).unwrap().is_hit());
    let clients: String = run(&server, &["CLIENT", "LIST"]);
    assert_eq!(clients.lines().count(), 2, "the pool's and ours: {clients}");
}

#[test]
fn resp3_does_as_well() {
    let server = Server::start();
    let url = server.url_with("protocol=resp3");
    let cache: Cache = Cache::builder(url).prefix("test:").build().unwrap();
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
    assert!(cache.update_field("p-001", "stock", "1").unwrap());
    assert!(
        cache
            .update("p-001", |record| Some(record.clone()))
            .unwrap()
    );
    assert!(cache.invalidate("p-001").unwrap());
}

/// A cluster rejects a script whose keys are in two slots, even a node that owns all slots.
#[cfg(feature = "cluster")]
#[test]
fn a_record_and_its_lease_lie_in_one_slot() {
    let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    // Redis 6 doesn't know ADDSLOTSRANGE.
    let slots: Vec<_> = (0..16_384).map(|slot: u32| slot.to_string()).collect();
    let slots: Vec<_> = slots.iter().map(String::as_str).collect();
    let _: () = run(&server, &[&["CLUSTER", "ADDSLOTS"], &*slots].concat());
    until(|| run::<String>(&server, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let url = server.url().replacen("redis:", "redis+cluster:", 1);
    let cache: Cache = Cache::builder(url).prefix("test:").build().unwrap();
    for id in [
        "p-001",
        "{shop}:p-001",
        "a{b}c{d}",
        "open{",
        "{",
        "{{x}}",
        "ü",
    ] {
        let found = cache.get(id, load_loaf).unwrap();
        assert_eq!(
            found.source(),
            Source::Loaded,
            "{id}: {:?}",
            found.degraded_cause()
        );
        assert!(cache.get(id, load_loaf).unwrap().is_hit(), "{id}");
    }
    // A brace that closes before any opens leaves no way to name the slot.
    for id in ["a}b", "{}x", "}{"] {
        let error = cache.invalidate(id).unwrap_err();
        assert!(
            crate::support::chain(&error).contains(" slot"),
            "{id}: {error}"
        );
    }
}

#[test]
fn a_lookup_that_finds_nothing_leaves_no_key() {
    let server = Server::start();
    server.cache().get("p-009", load_nothing).unwrap();
    assert_eq!(run::<Vec<String>>(&server, &["KEYS", "*"]), [""; 0]);
}

/// A cache that keeps missing records, with `p-001` missing.
fn remembers_nothing(server: &Server) -> Cache {
    let brief = Duration::from_secs(5);
    let cache: Cache = server.builder().negative_ttl(brief).build().unwrap();
    cache.get("p-001", load_nothing).unwrap();
    cache
}

#[test]
fn that_there_is_no_record_is_one_field_that_says_so() {
    let server = Server::start();
    remembers_nothing(&server);
    let entry: Vec<String> = run(&server, &["HGETALL", "test:p-001"]);
    assert_eq!(entry, ["__cache_aside_not_found", "1"]);
}

#[test]
fn fields_that_another_program_added_to_no_record_make_it_unreadable() {
    let server = Server::start();
    let cache = remembers_nothing(&server);
    let _: u32 = run(&server, &["HSET", "test:p-001", "stock", "41"]);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable_entries, 1);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(**found.record().unwrap(), loaf());
}

#[test]
fn a_record_that_another_program_keeps_for_ever_has_no_ttl() {
    let server = Server::start();
    let cache = server.cache();
    cache.get("p-001", load_loaf).unwrap();
    let _: bool = run(&server, &["PERSIST", "test:p-001"]);
    assert_eq!(cache.ttl_remaining("p-001").unwrap(), TtlRemaining::NoTtl);
}
