//! Invalid settings are refused by name, before anything is sent.

use std::time::Duration;

use crate::support::{chain, free_port};
use cache_aside::{
    Cache, CacheBuilder, Error, LoadingCache, LoadingCacheBuilder, Memory, Record, Redis, Source,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The message with which `build` refuses the settings. No server listens at the address: a request
/// would give another error.
fn refusal(set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> String {
    let address = format!("redis://127.0.0.1:{}", free_port());
    let builder = Cache::builder(address).prefix("cache:");
    let error = set(builder).build().unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    error.to_string()
}

#[test]
fn invalid_settings_are_refused_by_name() {
    assert_eq!(
        refusal(|cache| cache.prefix("")),
        "setting `prefix`: it must not be empty; set one that ends with a separator, like `cache:product:`"
    );
    assert_eq!(
        refusal(|cache| cache.prefix("lock:")),
        "setting `prefix`: keys that begin with `lock:` are the leases"
    );
    for prefix in ["floor:", "floor:{a", "f", "floor"] {
        assert_eq!(
            refusal(|cache| cache.prefix(prefix)),
            "setting `prefix`: keys that begin with `floor:` are the floors"
        );
    }
    for prefix in ["tags:{a", "t", "tags:"] {
        assert_eq!(
            refusal(|cache| cache.prefix(prefix)),
            "setting `prefix`: keys that begin with `tags:{` are the tags"
        );
    }
    for namespace in ["", "a}"] {
        assert_eq!(
            refusal(|cache| cache.tag_namespace(namespace)),
            "setting `tag_namespace`: it must not be empty, and must not contain a `}`"
        );
    }
    assert_eq!(
        refusal(|cache| cache.prefix("{{")),
        "setting `prefix`: it must hold something besides `{`"
    );
    assert_eq!(
        refusal(|cache| cache.ttl(Duration::ZERO)),
        "setting `ttl`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        refusal(|cache| cache.ttl(Duration::MAX)),
        "setting `ttl`: 18446744073709551615.999999999s is too long, it must be at most ten years"
    );
    assert_eq!(
        refusal(|cache| cache.lease_ttl(MS(1))),
        "setting `lease_ttl`: 1ms is too short, it must be at least 10ms"
    );
    assert_eq!(
        refusal(|cache| cache.poll(Duration::ZERO)),
        "setting `poll`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        refusal(|cache| cache.max_load_time(MS(1999))),
        "setting `max_load_time`: 1.999s is shorter than one `lease_ttl` of 2s"
    );
    assert_eq!(
        refusal(|cache| cache.wait_timeout(MS(24))),
        "setting `wait_timeout`: 24ms is shorter than one `poll` of 25ms"
    );
    assert_eq!(
        refusal(|cache| cache.ttl(MS(1000)).negative_ttl(MS(2000))),
        "setting `negative_ttl`: 2s is longer than the `ttl` of 1s"
    );
    assert_eq!(
        refusal(|cache| cache.max_loads(0)),
        "setting `max_loads`: no record could ever be loaded; allow at least one"
    );
    assert_eq!(
        refusal(|cache| cache.load_queue_timeout(MS(1))),
        "setting `load_queue_timeout`: there is no `max_loads`"
    );
    assert_eq!(
        refusal(|cache| cache.near_cache(0)),
        "setting `near_cache`: it must have room for one record at least"
    );
    assert_eq!(
        refusal(|cache| cache.near_cache(usize::MAX)),
        "setting `near_cache`: it must be at most 100,000,000"
    );
    assert_eq!(
        refusal(|cache| cache.near_ttl(Duration::from_secs(1))),
        "setting `near_ttl`: there is no `near_cache`"
    );
    assert_eq!(
        refusal(|cache| cache.near_ttl(Duration::ZERO)),
        "setting `near_ttl`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        refusal(|cache| cache.near_staleness(MS(19))),
        "setting `near_staleness`: 19ms is too short, it must be at least 20ms"
    );
    assert_eq!(
        refusal(|cache| cache.near_staleness(MS(60_001))),
        "setting `near_staleness`: 60.001s is too long, it must be at most 60s"
    );
    assert_eq!(
        refusal(|cache| cache.versions(Duration::ZERO)),
        "setting `versions`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        refusal(|cache| cache.versions(Duration::MAX)),
        format!("setting `versions`: {TOO_LONG} ten years")
    );
}

/// How a refusal of `Duration::MAX` begins.
const TOO_LONG: &str = "18446744073709551615.999999999s is too long, it must be at most";

#[test]
fn a_refusal_names_the_setting_that_was_set_and_its_own_limit() {
    let ten_years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    assert_eq!(
        refusal(|cache| cache.near_staleness(Duration::MAX)),
        format!("setting `near_staleness`: {TOO_LONG} 60s")
    );
    assert_eq!(
        refusal(|cache| cache.lease_ttl(ten_years)),
        "setting `lease_ttl`: 315360000s is longer than the `max_load_time` of 60s"
    );
    assert_eq!(
        refusal(|cache| cache.poll(ten_years)),
        "setting `poll`: 315360000s is longer than the `wait_timeout` of 10s"
    );
    // Where both are set, the one that is too short for the other.
    assert_eq!(
        refusal(|cache| cache.lease_ttl(MS(5_000)).max_load_time(MS(4_000))),
        "setting `max_load_time`: 4s is shorter than one `lease_ttl` of 5s"
    );
    assert_eq!(
        refusal(|cache| cache.poll(MS(50)).wait_timeout(MS(40))),
        "setting `wait_timeout`: 40ms is shorter than one `poll` of 50ms"
    );
}

#[test]
fn a_duration_that_is_too_long_is_refused_by_its_own_name_whatever_the_other_settings_are() {
    type Set = fn(CacheBuilder, Duration) -> CacheBuilder;
    let settings: [(&str, Set); 8] = [
        ("ttl", CacheBuilder::ttl),
        ("negative_ttl", CacheBuilder::negative_ttl),
        ("lease_ttl", CacheBuilder::lease_ttl),
        ("max_load_time", CacheBuilder::max_load_time),
        ("wait_timeout", CacheBuilder::wait_timeout),
        ("poll", CacheBuilder::poll),
        ("grace", CacheBuilder::grace),
        ("near_ttl", CacheBuilder::near_ttl),
    ];
    for (name, set) in settings {
        let message = format!("setting `{name}`: {TOO_LONG} ten years");
        assert_eq!(refusal(|cache| set(cache, Duration::MAX)), message);
        let with_others =
            |cache: CacheBuilder| set(cache.lease_ttl(MS(500)).poll(MS(500)), Duration::MAX);
        assert_eq!(refusal(with_others), message);
    }
}

#[test]
fn invalid_pool_settings_are_refused_too() {
    let message = |redis: cache_aside::RedisBuilder| redis.build().unwrap_err().to_string();
    let redis = || Redis::builder(format!("redis://127.0.0.1:{}", free_port()));
    assert_eq!(
        message(redis().pool_size(0)),
        "setting `pool_size`: it must be at least 1"
    );
    assert_eq!(
        message(redis().pool_size(u32::MAX)),
        "setting `pool_size`: it must be at most 10,000"
    );
    assert_eq!(
        message(redis().io_timeout(Duration::ZERO)),
        "setting `io_timeout`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        message(redis().idle_timeout(MS(999))),
        "setting `idle_timeout`: 999ms is too short, it must be at least 1s"
    );
    assert_eq!(
        message(redis().tcp_keepalive(MS(999))),
        "setting `tcp_keepalive`: 999ms is too short, it must be at least 1s"
    );
    assert_eq!(
        message(redis().tcp_keepalive(Duration::from_secs(32_768))),
        "setting `tcp_keepalive`: 32768s is too long, it must be at most 32767s"
    );
    assert_eq!(
        message(redis().connect_timeout(Duration::ZERO)),
        "setting `connect_timeout`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        message(redis().client_name("two words")),
        "setting `client_name`: it must be printable ASCII without spaces, and not be empty"
    );
    for name in ["", "two\nlines", "caf\u{e9}", "tab\t", "del\u{7f}"] {
        assert!(message(redis().client_name(name)).starts_with("setting `client_name`: "));
    }
    assert_eq!(
        message(redis().checkout_timeout(Duration::ZERO)),
        "setting `checkout_timeout`: 0ns is too short, it must be at least 1ms"
    );
}

#[test]
fn an_address_that_is_none_is_refused_and_not_repeated() {
    for address in [
        "",
        "localhost",
        "http://user:secret@localhost",
        "redis://user:secret@/x/y",
    ] {
        let error = Redis::builder(address).build().unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("setting `address`: "), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_build_where_that_is_wanted() {
    let server = format!("127.0.0.1:{}", free_port());
    let redis = Redis::builder(format!("redis://user:secret@{server}")).require_connection(true);
    let error = Cache::<Record>::builder(redis)
        .prefix("cache:")
        .build()
        .unwrap_err();
    assert_eq!(
        chain(&error),
        format!("request `connect` to {server} failed: Connection refused (os error 111)")
    );
}

#[test]
fn the_type_of_the_records_may_stand_before_the_builder_or_in_the_type_of_the_cache() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Product {
        stock: u32,
    }
    let memory = Memory::new(10);
    let before = Cache::<Product>::builder(&memory)
        .prefix("product:")
        .build()
        .unwrap();
    let after: Cache<Product> = Cache::builder(&memory).prefix("product:").build().unwrap();
    let load = |_: &str| Ok::<_, std::convert::Infallible>(Some(Product { stock: 3 }));
    before.get("p-001", load).unwrap();
    let found = after.get("p-001", load).unwrap();
    assert!(found.is_hit());
    assert_eq!(**found.record().unwrap(), Product { stock: 3 });
}

#[test]
fn a_clone_of_a_builder_has_the_same_settings_and_goes_its_own_way() {
    let common = Cache::<Record>::builder(Memory::new(10)).ttl(Duration::from_secs(7));
    let products = common.clone().prefix("product:").build().unwrap();
    let people = common.prefix("person:").build().unwrap();
    let load = |_: &str| Ok::<_, std::convert::Infallible>(Some(Record::from([("a", "1")])));
    for cache in [&products, &people] {
        assert_eq!(cache.get("1", load).unwrap().source(), Source::Loaded);
        let left = cache.ttl_remaining("1").unwrap().left().unwrap();
        assert!(left <= Duration::from_secs(7) && left > Duration::from_secs(3));
    }
}

#[test]
fn invalid_settings_of_a_loading_cache_are_refused_by_name() {
    let cache = |grace| -> Cache {
        let builder = Cache::builder(Memory::new(10)).prefix("cache:");
        builder.grace(grace).build().unwrap()
    };
    let refusal = |grace, set: fn(LoadingCacheBuilder<Record>) -> LoadingCacheBuilder<Record>| {
        let builder = LoadingCache::builder(&cache(grace), |_| Err("nobody loads"));
        set(builder).build().unwrap_err().to_string()
    };
    assert_eq!(
        refusal(MS(0), |builder| builder.soft_timeout(MS(1))),
        "setting `soft_timeout`: the cache has no `grace`"
    );
    assert_eq!(
        refusal(MS(9), |builder| builder.hard_timeout(MS(0))),
        "setting `hard_timeout`: 0ns is too short, it must be at least 1ms"
    );
    assert_eq!(
        refusal(MS(9), |builder| builder
            .soft_timeout(MS(3))
            .hard_timeout(MS(2))),
        "setting `hard_timeout`: 2ms is shorter than the `soft_timeout` of 3ms"
    );
    for threads in [0, 1_001] {
        let builder = LoadingCache::builder(&cache(MS(9)), |_| Err("nobody loads"));
        assert_eq!(
            builder.threads(threads).build().unwrap_err().to_string(),
            "setting `threads`: it must be at least 1 and at most 1,000"
        );
    }
}
