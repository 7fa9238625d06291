//! The master at the start, and sentinels that disappear.

use std::{thread, time::Duration};

use cache_aside::{Cache, Source};

use crate::{
    sentinel_set::{NAME, SentinelSet, url_of},
    support::{acl, chain, free_port, load_loaf, until},
};

#[test]
fn the_master_is_found() {
    let set = SentinelSet::start();
    let cache = set.cache();
    assert_eq!(cache.get("p", load_loaf).unwrap().source(), Source::Loaded);
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    let mut direct = set.servers[0].connect();
    let stock: String = redis::cmd("HGET")
        .arg("test:p")
        .arg("stock")
        .query(&mut direct)
        .unwrap();
    assert_eq!(stock, "42");
    assert!(cache.update_field("p", "stock", "41").unwrap());
    assert!(cache.invalidate("p").unwrap());
    let near: Cache = set.builder().near_cache(10).build().unwrap();
    until(|| near.get("p", load_loaf).unwrap().source() == Source::Near);
}

#[test]
fn a_database_and_resp3_are_for_the_server() {
    let set = SentinelSet::start();
    if acl::user() != "default" {
        set.servers[0].set_user(&["+select"]);
    }
    let url = format!("{}/3?protocol=resp3", set.url());
    let cache: Cache = Cache::builder(url).prefix("test:").build().unwrap();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    let mut direct = set.servers[0].connect();
    redis::cmd("SELECT").arg(3).exec(&mut direct).unwrap();
    let there: bool = redis::cmd("EXISTS")
        .arg("test:p")
        .query(&mut direct)
        .unwrap();
    assert!(there);
}

#[test]
fn the_connections_to_the_master_and_to_the_sentinels_have_the_name_of_the_program() {
    let set = SentinelSet::start();
    let cache = Cache::builder(set.redis().client_name("shop")).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    cache.get("p", load_loaf).unwrap();
    let list = |mut direct: redis::Connection| -> String {
        redis::cmd("CLIENT").arg("LIST").query(&mut direct).unwrap()
    };
    let list_of_the_master = list(set.servers[0].connect());
    assert!(
        list_of_the_master.contains(" name=shop "),
        "{list_of_the_master}"
    );
    for sentinel in &set.sentinels {
        let url = format!("redis://127.0.0.1:{}", sentinel.port);
        let direct = || {
            redis::Client::open(&*url)
                .unwrap()
                .get_connection()
                .unwrap()
        };
        // The watch asks all of them, a second later.
        until(|| list(direct()).contains(" name=shop "));
    }
}

#[test]
fn a_dead_sentinel_is_passed_over() {
    let mut set = SentinelSet::start();
    set.sentinels[0].kill();
    let cache = set.cache();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    // Also one that never existed.
    let ports = [free_port(), set.sentinels[1].port].into_iter();
    let cache: Cache = Cache::builder(url_of(ports, NAME))
        .prefix("test:")
        .build()
        .unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
}

#[test]
fn without_any_sentinel_the_master_is_still_used() {
    let mut set = SentinelSet::start();
    // On a busy machine, connecting may take longer than a caller waits by default.
    let redis = set.redis().checkout_timeout(Duration::from_secs(3));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("p", load_loaf).unwrap();
    for sentinel in &mut set.sentinels {
        sentinel.kill();
    }
    // Two rounds of requests without a reply.
    thread::sleep(Duration::from_millis(2_100));
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    // Connected again.
    let mut direct = set.servers[0].connect();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes");
    for _ in 0..20 {
        kill.exec(&mut direct).unwrap();
        assert!(cache.get("p", load_loaf).unwrap().is_hit());
    }
    let stats = cache.stats();
    assert_eq!(stats.degraded, 0, "{stats:?}");
}

#[test]
fn a_master_that_does_not_know_hello_is_asked_for_its_role() {
    let set = SentinelSet::start_with(&["--rename-command", "HELLO", ""]);
    if acl::user() != "default" {
        set.servers[0].set_user(&["+role"]);
    }
    let cache = set.cache();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
}

#[test]
fn sentinels_with_a_password_get_it() {
    let guarded = SentinelSet::start();
    for sentinel in &guarded.sentinels {
        let url = format!("redis://127.0.0.1:{}", sentinel.port);
        let mut direct = redis::Client::open(url).unwrap().get_connection().unwrap();
        let mut set_user = redis::cmd("ACL");
        set_user
            .arg("SETUSER")
            .arg("client")
            .arg(&["on", ">pw", "+@all"]);
        set_user.exec(&mut direct).unwrap();
        let mut set_user = redis::cmd("ACL");
        set_user.arg("SETUSER").arg("default").arg("off");
        set_user.exec(&mut direct).unwrap();
    }
    let error = chain(&guarded.redis().build().unwrap_err());
    assert!(error.contains("`sentinel_login`"), "{error}");
    let wrong = guarded.redis().sentinel_login(Some("client"), "secret");
    let error = chain(&wrong.build().unwrap_err());
    assert!(
        error.contains("`sentinel_login`") && !error.contains("secret"),
        "{error}"
    );
    let right = guarded.redis().sentinel_login(Some("client"), "pw");
    let cache = Cache::builder(right).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
}
