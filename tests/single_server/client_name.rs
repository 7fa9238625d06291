//! The name that connections show in `CLIENT LIST`.

use std::collections::BTreeSet;

use cache_aside::{Cache, Redis};

use crate::{
    acl::calls::Stage,
    support::{
        Server, acl,
        acl::{PREFIX, words},
        alone, load_loaf, until,
    },
};

/// The names of all connections of this user, with the flag that tells a listener (`B`).
fn names(server: &Server, user: &str) -> BTreeSet<(String, bool)> {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut server.connect())
        .unwrap();
    let field = |line: &str, name: &str| {
        let mut words = line.split(' ');
        let value = words.find_map(|word| word.strip_prefix(name).map(str::to_owned));
        value.unwrap_or_default()
    };
    let lines = list
        .lines()
        .filter(|line| field(line, "user=") == user && field(line, "cmd=") != "client|list")
        // Before Redis 7.
        .filter(|line| field(line, "cmd=") != "client");
    lines
        .map(|line| (field(line, "name="), field(line, "flags=").contains('B')))
        .collect()
}

/// A cache that has a pooled connection and a listener.
fn use_it(redis: Redis, prefix: &str) -> (Redis, Cache) {
    let cache = Cache::builder(&redis).prefix(prefix).near_cache(10);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    cache.get("p-001", load_loaf).unwrap();
    (redis, cache)
}

fn both(name: &str) -> BTreeSet<(String, bool)> {
    [(name.to_owned(), false), (name.to_owned(), true)].into()
}

#[test]
fn pooled_connections_and_listeners_are_called_cache_aside_or_as_the_program_says() {
    for protocol in ["resp2", "resp3"] {
        let server = Server::start();
        let url = server.url_with(&format!("protocol={protocol}"));
        let used = use_it(Redis::builder(&*url).build().unwrap(), "test:");
        assert_eq!(names(&server, acl::user()), both("cache-aside"));
        drop(used);
        until(|| names(&server, acl::user()).is_empty());

        let redis = Redis::builder(url).client_name("shop:web-1");
        let _used = use_it(redis.build().unwrap(), "test:");
        assert_eq!(names(&server, acl::user()), both("shop:web-1"));
    }
}

#[test]
fn the_least_user_needs_no_permission_for_a_name() {
    let server = Server::start_with(&alone::NONE);
    let stage = Stage::new(&server, &words(&[PREFIX]), "");
    let _used = use_it(stage.redis().build().unwrap(), PREFIX);
    assert_eq!(names(&server, "least"), both("cache-aside"));
    assert!(stage.denials().is_empty(), "{:?}", stage.denials());
}

#[test]
fn where_the_server_does_not_know_hello_there_is_no_name() {
    let server = Server::start_with(&["--rename-command", "HELLO", ""]);
    // The role is asked by `ROLE`, which the least user may not.
    server.expect_denials();
    let cache = server.cache();
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
    assert_eq!(names(&server, acl::user()), [(String::new(), false)].into());
}
