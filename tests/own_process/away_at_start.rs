//! A server that cannot be reached when the program starts, or that can and will never work.

use std::{
    io::Read,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::{
    fake, lines,
    support::{Server, acl, chain, free_port, load_loaf, until},
};
use cache_aside::{Cache, Redis, RedisBuilder, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn at(port: u16) -> RedisBuilder {
    Redis::builder(format!("redis://127.0.0.1:{port}"))
}

fn cache(redis: RedisBuilder) -> Cache {
    Cache::builder(redis).prefix("test:").build().unwrap()
}

fn source(cache: &Cache) -> Source {
    cache.get("p-001", load_loaf).unwrap().source()
}

/// Builds a cache with each value of `require_connection`. The server cannot be reached.
#[track_caller]
fn is_away(redis: &RedisBuilder, reason: &str) -> Cache {
    let required = redis.clone().require_connection(true).build();
    let error = chain(&required.unwrap_err());
    assert!(error.contains(reason), "{error}");
    let cache = cache(redis.clone());
    assert!(cache.stats().breaker_open);
    let began = Instant::now();
    assert_eq!(source(&cache), Source::Degraded);
    assert!(began.elapsed() < MS(300), "{:?}", began.elapsed());
    cache
}

/// Builds a cache with each value of `require_connection`. The server will never work.
#[track_caller]
fn will_never_work(redis: &RedisBuilder, reason: &str) {
    for required in [false, true] {
        let built = redis.clone().require_connection(required).build();
        let error = chain(&built.unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

fn warnings(about: &str) -> Vec<String> {
    let mut lines = lines::with(about);
    lines.retain(|line| line.starts_with("WARN") || line.starts_with("ERROR"));
    lines
}

/// A server that does not answer like one of another kind.
fn hello(words: &[String], version: &str) -> Option<String> {
    (words[0] == "HELLO").then(|| fake::texts(&["server", "redis", "version", version]))
}

#[test]
fn a_server_that_is_not_there_is_warned_of_once_and_used_when_it_comes() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let name = format!("127.0.0.1:{}", server.port());
    let cache = cache(Redis::builder(server.url()));
    let said = warnings(&name);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("Connection refused"), "{said:?}");
    assert!(said[0].contains("caches work without Redis"), "{said:?}");

    assert_eq!(source(&cache), Source::Degraded);
    // Long enough for several attempts.
    thread::sleep(MS(300));
    assert_eq!(warnings(&name).len(), 1);
    assert!(cache.invalidate("p-002").is_err());
    assert_eq!(cache.stats().invalidations_pending, 1);

    server.start_again();
    until(|| !cache.stats().breaker_open);
    assert_eq!(cache.stats().invalidations_pending, 0);
    assert_eq!(source(&cache), Source::Loaded);
    assert_eq!(source(&cache), Source::Hit);
    assert_eq!(lines::with(&format!("INFO {name} is ")).len(), 1);
}

#[test]
fn what_build_would_have_warned_of_is_warned_of_when_the_server_comes() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let master = format!("127.0.0.1 {}", free_port());
    let cache = cache(Redis::builder(server.url()));
    server.start_again_with(&["--replicaof", &master]);
    until(|| !cache.stats().breaker_open);
    let warning = format!("WARN 127.0.0.1:{} is a replica", server.port());
    assert_eq!(lines::with(&warning).len(), 1);
}

#[test]
fn a_server_that_comes_and_will_never_work_is_logged_once_until_it_is_mended() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let name = format!("127.0.0.1:{}", server.port());
    let cache = cache(at(server.port()).probe_interval(MS(20)));
    server.start_again_with(&["--requirepass", "right"]);
    let error = || lines::with("ERROR Redis can be reached, but cannot be used");
    until(|| !error().is_empty());
    // Long enough for several checks.
    thread::sleep(MS(300));
    assert_eq!(error().len(), 1, "{:?}", error());
    assert!(error()[0].contains(&name), "{:?}", error());
    assert!(error()[0].contains("NOAUTH"), "{:?}", error());
    let found = cache.get("p-001", load_loaf).unwrap();
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains("NOAUTH"), "{why}");
    assert!(cache.stats().breaker_open);

    let url = format!("redis://:right@{name}");
    let mut admin = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg("");
    set.exec(&mut admin).unwrap();
    until(|| !cache.stats().breaker_open);
    assert_eq!(source(&cache), Source::Loaded);
}

#[test]
fn a_server_without_scripts_that_comes_later_is_not_used() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let cache = cache(Redis::builder(server.url()));
    server.start_again_with(&["--rename-command", "EVALSHA", ""]);
    until(|| !lines::with("a cache needs the commands SCRIPT LOAD and EVALSHA").is_empty());
    assert_eq!(source(&cache), Source::Degraded);
    assert!(cache.stats().breaker_open);
}

#[test]
fn a_port_that_accepts_and_never_answers_is_away_and_costs_a_bounded_time() {
    own_process!();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = at(silent.local_addr().unwrap().port()).connect_timeout(MS(200));
    let began = Instant::now();
    assert!(redis.clone().build().is_ok());
    let elapsed = began.elapsed();
    assert!(elapsed >= MS(200) && elapsed < MS(1_000), "{elapsed:?}");
    is_away(&redis, "no answer within 200ms");
}

#[test]
fn a_drop_does_not_wait_for_a_check_that_runs() {
    own_process!();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = at(silent.local_addr().unwrap().port()).connect_timeout(MS(2_000));
    let cache: Cache = Cache::builder(redis)
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    let (_of_build, _) = silent.accept().unwrap();
    let (mut of_recovery, _) = silent.accept().unwrap();
    let began = Instant::now();
    drop(cache);
    let elapsed = began.elapsed();
    assert!(elapsed < MS(700), "{elapsed:?}");
    // The check ends, and no other one follows.
    of_recovery.read_to_end(&mut Vec::new()).unwrap();
    thread::sleep(MS(300));
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_err());
}

#[test]
fn a_near_cache_adds_no_warning_and_works_when_the_server_comes() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let cache: Cache = Cache::builder(Redis::builder(server.url()))
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    // Long enough for several attempts to connect.
    thread::sleep(MS(300));
    assert_eq!(warnings("").len(), 1, "{:?}", warnings(""));
    assert!(!cache.stats().tracking_live);
    server.start_again();
    until(|| source(&cache) == Source::Near);
    assert!(cache.stats().tracking_live);
    assert_eq!(warnings("").len(), 1, "{:?}", warnings(""));
}

#[test]
fn no_listener_asks_a_server_that_has_not_passed_the_check() {
    own_process!();
    let port = free_port();
    let cache: Cache = Cache::builder(at(port).probe_interval(MS(20)))
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&requests);
    fake::answer(port, move |words| {
        received.lock().unwrap().push(words.join(" "));
        hello(words, "5.0.6").unwrap_or_else(|| "+OK\r\n".to_owned())
    });
    let count = |command: &str| {
        let requests = requests.lock().unwrap();
        let of = |request: &&String| request.starts_with(command);
        requests.iter().filter(of).count()
    };
    until(|| count("HELLO") > 10);
    assert_eq!(count("CLIENT TRACKING"), 0);
    assert!(!cache.stats().tracking_live);
}

#[test]
fn a_server_that_is_loading_is_away_until_it_is_ready() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    own_process!();
    lines::listen();
    let port = free_port();
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready = Arc::clone(&is_ready);
    fake::answer(port, move |words| {
        if let Some(reply) = hello(words, "7.0.15") {
            return reply;
        }
        if !ready.load(SeqCst) {
            return "-LOADING Redis is loading the dataset in memory\r\n".to_owned();
        }
        match &*words[0] {
            "HGETALL" => fake::texts(&["name", "Loaf"]),
            "INFO" => "$-1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        }
    });
    let cache = is_away(&at(port), "Redis is loading the dataset");
    is_ready.store(true, SeqCst);
    until(|| source(&cache) == Source::Hit);
}

#[test]
fn a_host_name_that_cannot_be_resolved_is_away() {
    own_process!();
    is_away(
        &Redis::builder("redis://no-such-host.invalid:6379"),
        "lookup",
    );
}

#[test]
fn a_server_that_closes_each_connection_is_away() {
    own_process!();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = proxy.local_addr().unwrap().port();
    thread::spawn(move || proxy.incoming().for_each(drop));
    is_away(&at(port), "127.0.0.1");
}

#[test]
fn a_socket_that_is_not_there_is_away() {
    own_process!();
    is_away(
        &Redis::builder("unix:///nowhere/redis.sock"),
        "No such file",
    );
}

#[test]
fn a_server_that_rejects_the_login_will_never_work() {
    own_process!();
    let server = Server::start_with(&["--requirepass", "right"]);
    let url = server.admin_url();
    will_never_work(&Redis::builder(&*url), "NOAUTH");
    will_never_work(&Redis::builder(format!("{url}?pass=wrong")), "WRONGPASS");
}

#[test]
fn a_user_without_permission_will_never_work() {
    own_process!();
    let server = Server::start();
    server.expect_denials();
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER")
        .arg(&["reader", "on", ">secret", "~*", "+@read"]);
    set.exec(&mut server.connect()).unwrap();
    let url = format!("{}?user=reader&pass=secret", server.admin_url());
    will_never_work(&Redis::builder(url), "no permissions");
}

#[test]
fn a_server_that_is_too_old_or_no_redis_will_never_work() {
    own_process!();
    let (old, web) = (free_port(), free_port());
    fake::answer(old, |words| {
        hello(words, "5.0.6").unwrap_or_else(|| "$-1\r\n".to_owned())
    });
    will_never_work(&at(old), "this is Redis 5.0.6, and a cache needs 6.0.9");
    fake::answer(web, |_| "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned());
    will_never_work(&at(web), "the reply is invalid");
}

#[test]
fn an_address_of_another_kind_will_never_work() {
    own_process!();
    let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let url = acl::url_at(server.port()).replace("redis+cluster:", "redis:");
    will_never_work(&Redis::builder(url), "write `redis+cluster://host:port`");
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_of_which_no_node_answers_is_away_and_used_when_it_comes() {
    own_process!();
    let mut server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let mut add = redis::cmd("CLUSTER");
    add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    add.exec(&mut server.connect()).unwrap();
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    let url = format!("{url},127.0.0.1:{}", free_port());
    server.kill();
    let cache = is_away(&Redis::builder(url), "Connection refused");
    server.start_again();
    until(|| source(&cache) == Source::Hit);
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_without_slots_is_away_and_a_server_in_none_will_never_work() {
    own_process!();
    let node = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let of = |server: &Server| {
        let url = acl::url_at(server.port());
        Redis::builder(url.replace("redis:", "redis+cluster:"))
    };
    is_away(&of(&node), "no node of the cluster has any slots");
    let single = Server::start_on_port_with(&["--cluster-enabled", "no"]);
    will_never_work(&of(&single), "that server is none of a cluster");
}

#[cfg(feature = "cluster")]
#[test]
fn a_reason_that_all_nodes_of_a_cluster_give_is_logged_once() {
    own_process!();
    lines::listen();
    let start = || Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let mut servers: Vec<_> = (0..3).map(|_| start()).collect();
    let hosts = servers.iter_mut().map(|server| {
        server.kill();
        format!("127.0.0.1:{}", server.port())
    });
    let url = format!("redis+cluster://{}", hosts.collect::<Vec<_>>().join(","));
    let cache = cache(Redis::builder(url).probe_interval(MS(20)));
    for server in &mut servers {
        server.start_again_with(&["--requirepass", "right"]);
    }
    let errors = || lines::with("ERROR Redis can be reached, but cannot be used");
    until(|| !errors().is_empty());
    // Long enough for several checks, each of which begins at a random node.
    thread::sleep(MS(1_000));
    assert_eq!(errors().len(), 1, "{:?}", errors());
    assert!(cache.stats().breaker_open);
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_that_comes_with_a_near_cache_waiting_for_it_is_listened_to() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let mut add = redis::cmd("CLUSTER");
    add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    add.exec(&mut server.connect()).unwrap();
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    server.kill();
    let cache: Cache = Cache::builder(url)
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    assert_eq!(warnings("").len(), 1, "{:?}", warnings(""));
    server.start_again();
    until(|| source(&cache) == Source::Near);
}

#[cfg(feature = "cluster")]
#[test]
fn a_lookup_says_that_the_server_which_came_is_none_of_a_cluster() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.kill();
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    let cache = cache(Redis::builder(url));
    server.start_again_with(&["--cluster-enabled", "no"]);
    let reason = "that server is none of a cluster; write `redis://host:6379`";
    until(|| !lines::with(reason).is_empty());
    let found = cache.get("p-001", load_loaf).unwrap();
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains(reason), "{why}");
}

#[cfg(feature = "sentinel")]
#[test]
fn sentinels_that_do_not_answer_are_away_and_others_will_never_work() {
    own_process!();
    let (sentinel, silent) = (free_port(), free_port());
    let of = |ports: &[u16]| {
        let hosts: Vec<_> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        Redis::builder(format!("redis+sentinel://{}/shop", hosts.join(",")))
    };
    is_away(&of(&[silent]), "no sentinel says where the master is");
    // It knows no master at all.
    fake::answer(sentinel, |words| {
        if words[0] == "SENTINEL" {
            return "*-1\r\n".to_owned();
        }
        hello(words, "7.0.15").unwrap_or_else(|| "+OK\r\n".to_owned())
    });
    let unknown = "it knows no master with the name `shop`";
    will_never_work(&of(&[sentinel]), unknown);
    will_never_work(&of(&[silent, sentinel]), unknown);
}

#[test]
fn a_prefix_without_a_separator_is_warned_of_once() {
    own_process!();
    lines::listen();
    let memory = cache_aside::Memory::new(10);
    for prefix in [
        "shop",
        "shop",
        "shop9",
        "shop:",
        "shop/",
        "{shop}",
        "caf\u{e9}",
    ] {
        let _: Cache = Cache::builder(&memory).prefix(prefix).build().unwrap();
    }
    let said = lines::with("has no separator at its end");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("WARN the prefix `shop` has"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("WARN the prefix `shop9` has"),
        "{said:?}"
    );
}
