//! Servers that are too old, lack some commands, or are of another kind than their address says.
//! `build` detects each. It refuses the server or logs once what does not work.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::lines;
use crate::support::{Server, acl, chain, free_port, load_loaf, until};
use cache_aside::{Cache, Redis, Source};

/// A server without this command.
fn without(command: &str) -> Server {
    Server::start_with(&["--rename-command", command, ""])
}

fn refusal(url: impl Into<String>) -> String {
    chain(&Redis::builder(url).build().unwrap_err())
}

/// Everything that a cache without tracking can do.
fn works(server: &Server) {
    let cache = server.cache();
    let source = || cache.get("p-001", load_loaf).unwrap().source();
    assert_eq!((source(), source()), (Source::Loaded, Source::Hit));
    assert!(cache.update_field("p-001", "stock", "1").unwrap());
    assert!(cache.invalidate("p-001").unwrap());
    assert_eq!(source(), Source::Loaded);
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_server_is_identified_by_name_and_version() {
    own_process!();
    lines::listen();
    let server = Server::start();
    works(&server);
    let said = lines::with(&server.place());
    assert_eq!(said.len(), 1, "{said:?}");
    let is = ["redis", "valkey"].map(|kind| format!("INFO {} is {kind} ", server.place()));
    assert!(is.iter().any(|is| said[0].starts_with(is)), "{said:?}");
}

#[test]
fn one_that_does_not_know_hello_does_all_but_push() {
    own_process!();
    lines::listen();
    let server = without("HELLO");
    // The least user may not ask for the role by `ROLE`, which is done instead.
    server.expect_denials();
    works(&server);
    let near = Cache::builder(server.url()).prefix("a:").near_cache(10);
    let near: Cache = near.build().unwrap();
    until(|| !lines::with("prefix `a:`").is_empty());
    near.get("k", load_loaf).unwrap();
    assert_eq!(near.get("k", load_loaf).unwrap().source(), Source::Hit);
    let said = lines::with("prefix `a:`");
    let expected = format!(
        "WARN prefix `a:`: the change stream is down, so the near cache is not used and waiters poll: {}: the server \
         does not know HELLO, so it has no RESP3, which Redis has since 6.0: ",
        server.place()
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(&expected), "{said:?}");
    let refusal = refusal(server.url_with("protocol=resp3"));
    assert!(refusal.contains("does not know HELLO"), "{refusal}");
}

#[test]
fn one_without_scripts_is_refused_and_the_command_named() {
    own_process!();
    for command in ["SCRIPT", "EVALSHA"] {
        let server = without(command);
        let refusal = refusal(server.url());
        let expected = format!(
            "request `connect` to {} failed: a cache needs the commands SCRIPT LOAD and EVALSHA, which the server does not know",
            server.place()
        );
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[test]
fn where_nothing_can_be_tracked_that_is_said_once_and_waiters_poll() {
    own_process!();
    lines::listen();
    let server = without("CLIENT");
    works(&server);
    let one = |near: usize| {
        let redis = Redis::builder(server.url()).build().unwrap();
        let cache = Cache::builder(redis)
            .prefix("b:")
            .poll(Duration::from_millis(5));
        let cache = if near > 0 {
            cache.near_cache(near)
        } else {
            cache
        };
        cache.build().unwrap()
    };
    let (leader, waiter): (Cache, Cache) = (one(0), one(10));
    let (loads, it_loads) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            leader.get("k", |id| {
                loads.send(()).unwrap();
                until(|| waiter.stats().misses > 0);
                // So that the other one asks for the lease meanwhile.
                thread::sleep(Duration::from_millis(50));
                load_loaf(id)
            })
        });
        it_loads.recv_timeout(Duration::from_secs(20)).unwrap();
        let found = waiter.get("k", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Waited);
    });
    assert!(!waiter.stats().tracking_live);
    let said = lines::with("prefix `b:`");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the near cache is not used and waiters poll"),
        "{said:?}"
    );
    assert!(
        said[0].to_lowercase().contains("unknown command"),
        "{said:?}"
    );
}

#[test]
fn a_replica_is_warned_of() {
    own_process!();
    lines::listen();
    let server = Server::start();
    let master = free_port().to_string();
    redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", &master])
        .exec(&mut server.connect())
        .unwrap();
    let cache = server.cache();
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Degraded
    );
    let said = lines::with(&server.place());
    let warning = format!("WARN {} is a replica: ", server.place());
    assert_eq!(
        said.iter()
            .filter(|line| line.starts_with(&warning))
            .count(),
        1,
        "{said:?}"
    );
}

#[test]
fn fewer_replicas_than_are_to_be_waited_for_are_warned_of() {
    own_process!();
    lines::listen();
    let server = Server::start();
    server.allow(&[acl::REPLICAS_RULE]);
    Redis::builder(server.url())
        .wait_for_replicas(2)
        .build()
        .unwrap();
    let said = lines::with(&server.place()).join("\n");
    let warning = format!(
        "WARN {} has 0 replicas, and `wait_for_replicas` is 2",
        server.place()
    );
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn a_node_of_a_cluster_is_refused_and_the_right_address_named() {
    own_process!();
    let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let refusal = refusal(server.url());
    assert!(
        refusal.contains("write `redis+cluster://host:port`"),
        "{refusal}"
    );
}

/// A Sentinel that watches no master.
struct Sentinel {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Sentinel {
    fn start() -> Sentinel {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("cache-aside-sentinel-{port}"));
        fs::create_dir_all(&folder).unwrap();
        // It writes to its configuration file.
        let settings = folder.join("sentinel.conf");
        fs::write(&settings, format!("port {port}\nbind 127.0.0.1\n")).unwrap();
        let binary = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(binary);
        command
            .arg(&settings)
            .arg("--sentinel")
            .current_dir(&folder);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        until(|| client.get_connection().is_ok());
        Sentinel {
            child,
            folder,
            port,
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_sentinel_is_refused_and_the_right_address_named() {
    own_process!();
    let sentinel = Sentinel::start();
    let refusal = refusal(format!("redis://127.0.0.1:{}", sentinel.port));
    assert!(
        refusal.contains("write `redis+sentinel://host:port/NAME`"),
        "{refusal}"
    );
}

#[test]
#[ignore = "for `tests/run --server redis-5.0`, which alone it is about"]
fn one_from_before_6_0_9_is_refused() {
    own_process!();
    let server = Server::start();
    let refusal = refusal(server.url());
    assert!(
        refusal.contains("this is Redis 5.0.6, and a cache needs 6.0.9 or later"),
        "{refusal}"
    );
}
