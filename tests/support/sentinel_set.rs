//! A private master with two replicas, and three sentinels.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    collections::HashMap,
    env, fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, CacheBuilder, Redis, RedisBuilder};
use redis::{Client, Connection, RedisResult, cmd};
use tempfile::TempDir;

use crate::support::{Server, acl, free_port};

/// The name of the master for the sentinels.
pub(crate) const NAME: &str = "shop";

/// How long a server may be silent before a sentinel considers it down. The default of Redis is 30
/// s.
///
/// With 1 s or less, sentinels sometimes consider a new master down as well: a sentinel waits that
/// long between two attempts to connect. The last attempt may have been to the former master, just
/// before.
pub(crate) const DOWN_AFTER: Duration = Duration::from_secs(2);

/// The whole set ends with this value.
pub(crate) struct SentinelSet {
    /// The master as it was at the start, and its replicas.
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Sentinel>,
}

pub(crate) struct Sentinel {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Sentinel {
    fn start(master: u16) -> Sentinel {
        let port = free_port();
        Sentinel::start_as(&format!("port {port}"), port, master, 2)
    }

    /// Starts a sentinel with lines that say where it listens, and how many must agree.
    pub(crate) fn start_as(listens: &str, port: u16, master: u16, quorum: usize) -> Sentinel {
        let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
        let path = folder.path().join("sentinel.conf");
        let down_after = DOWN_AFTER.as_millis();
        let config = format!(
            "{listens}\nbind 127.0.0.1\ndir {}\nlogfile log\n\
             sentinel monitor {NAME} 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds {NAME} {down_after}\n\
             sentinel failover-timeout {NAME} 4000\n\
             sentinel parallel-syncs {NAME} 2\n",
            folder.path().display()
        );
        fs::write(&path, config).expect("the folder for temporary files is writable");
        let binary = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(binary)
            .arg(&path)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`redis-server` is installed");
        Sentinel {
            child,
            port,
            folder,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the sentinel is ours");
        self.child.wait().expect("the sentinel is ours");
    }

    /// The master's state as it sees it. `None`: it does not answer yet.
    fn state(&self) -> Option<HashMap<String, String>> {
        let mut direct = self.connect().ok()?;
        cmd("SENTINEL")
            .arg("MASTER")
            .arg(NAME)
            .query(&mut direct)
            .ok()
    }

    pub(crate) fn connect(&self) -> RedisResult<Connection> {
        let patience = Duration::from_secs(1);
        let connection = Client::open(format!("redis://127.0.0.1:{}", self.port))?
            .get_connection_with_timeout(patience)?;
        connection.set_read_timeout(Some(patience))?;
        Ok(connection)
    }

    /// The port of the master, as it sees it.
    pub(crate) fn master(&self) -> RedisResult<u16> {
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(NAME);
        let (_, port): (String, u16) = question.query(&mut self.connect()?)?;
        Ok(port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SentinelSet {
    pub(crate) fn start() -> SentinelSet {
        SentinelSet::start_with(&[])
    }

    /// Starts one whose servers have further arguments.
    pub(crate) fn start_with(args: &[&str]) -> SentinelSet {
        let servers = (0..3).map(|_| {
            let quick = ["--repl-diskless-sync-delay", "0"];
            let often = ["--repl-ping-replica-period", "1"];
            let server = Server::start_on_port_with(&[&quick, &often, args].concat());
            server.allow(&[acl::REPLICAS_RULE]);
            server
        });
        let servers: Vec<_> = servers.collect();
        let master = servers[0].port();
        for replica in &servers[1..] {
            let mut follow = cmd("REPLICAOF");
            follow.arg("127.0.0.1").arg(master);
            follow.exec(&mut replica.connect()).expect("it answers");
        }
        let link_is_up = |replica: &Server| {
            let info: String = cmd("INFO")
                .arg("replication")
                .query(&mut replica.connect())
                .expect("it answers");
            info.contains("master_link_status:up")
        };
        wait("the replicas have a copy", || {
            servers[1..].iter().all(link_is_up)
        });
        let sentinels = (0..3).map(|_| Sentinel::start(master));
        let set = SentinelSet {
            servers,
            sentinels: sentinels.collect(),
        };
        set.wait_until_whole();
        set
    }

    /// Until all sentinels know of each other, and of two replicas.
    fn wait_until_whole(&self) {
        let knows_all = |sentinel: &Sentinel| {
            let state = sentinel.state();
            state.is_some_and(|state| {
                state["num-other-sentinels"] == "2" && state["num-slaves"] == "2"
            })
        };
        wait("the sentinels know all", || {
            self.sentinels.iter().all(knows_all)
        });
    }

    pub(crate) fn url(&self) -> String {
        let ports = self.sentinels.iter().map(|sentinel| sentinel.port);
        url_of(ports, NAME)
    }

    pub(crate) fn redis(&self) -> RedisBuilder {
        Redis::builder(self.url())
    }

    pub(crate) fn builder<R>(&self) -> CacheBuilder<R> {
        Cache::builder(self.url()).prefix("test:")
    }

    pub(crate) fn cache(&self) -> Cache {
        self.builder().build().expect("the private servers answer")
    }

    /// The master according to the majority of the sentinels that answer.
    pub(crate) fn master(&self) -> usize {
        let ports = self
            .sentinels
            .iter()
            .filter_map(|sentinel| sentinel.master().ok());
        let ports: Vec<_> = ports.collect();
        let votes = |server: &&Server| ports.iter().filter(|port| **port == server.port()).count();
        let master = self
            .servers
            .iter()
            .max_by_key(votes)
            .expect("there are three");
        self.servers
            .iter()
            .position(|server| server.port() == master.port())
            .expect("it is one of them")
    }

    /// The view of each sentinel, for a test that waits in vain.
    pub(crate) fn describe(&self) -> String {
        let servers = self.servers.iter().map(|server| {
            let client = Client::open(format!("redis://127.0.0.1:{}", server.port()));
            let patience = Duration::from_secs(1);
            let asked = client.and_then(|client| client.get_connection_with_timeout(patience));
            let info = asked
                .and_then(|mut direct| cmd("INFO").arg("replication").query::<String>(&mut direct));
            format!("server {}: {info:?}\n", server.port())
        });
        let sentinels = self.sentinels.iter().map(|sentinel| {
            let log = fs::read_to_string(sentinel.folder.path().join("log"));
            format!("sentinel {}:\n{}\n", sentinel.port, log.unwrap_or_default())
        });
        servers.chain(sentinels).collect()
    }

    /// How often a sentinel has seen a new master, summed over all of them.
    pub(crate) fn switches(&self) -> usize {
        let logs = self.sentinels.iter().map(|sentinel| {
            let log = fs::read_to_string(sentinel.folder.path().join("log"));
            log.expect("it writes one")
                .matches("+switch-master")
                .count()
        });
        logs.sum()
    }

    /// Waits until every sentinel that answers has another master than this one and has finished
    /// the failover. A master that comes back earlier may become the master again.
    pub(crate) fn wait_for_failover(&self, from: usize) {
        let from = self.servers[from].port().to_string();
        wait("another is the master", || {
            let states = self.sentinels.iter().filter_map(Sentinel::state);
            let ports: Vec<_> = states.map(|state| state["port"].clone()).collect();
            !ports.is_empty() && ports.iter().all(|port| *port != from && *port == ports[0])
        });
    }
}

/// The address of the master, for caches.
pub(crate) fn url_of(sentinels: impl Iterator<Item = u16>, name: &str) -> String {
    let hosts: Vec<_> = sentinels.map(|port| format!("127.0.0.1:{port}")).collect();
    let one = acl::url_at(0);
    let all = one.replace("127.0.0.1:0", &hosts.join(","));
    format!("{}/{name}", all.replace("redis://", "redis+sentinel://"))
}

/// A long wait. Sentinels that do not agree try again after some ten seconds. A sentinel that got no
/// processor for two seconds does nothing for half a minute, because its clock may be wrong.
fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited for three minutes until {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
