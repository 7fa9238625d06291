//! Servers that lack a command: alone or as a cluster of one node, each with TLS on a second port.

use std::{thread, time::Instant};

use cache_aside::RedisBuilder;
use redis::{Client, Connection, RedisResult};

use super::{CONTENT, FIELD, MS, PASSWORD, USER, hasty};
use crate::support::{Server, alone};

/// How a cache reaches a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) is_tls: bool,
    pub(super) is_resp3: bool,
    /// Otherwise it logs in with the password only.
    pub(super) has_user: bool,
}

pub(super) struct Target {
    /// The command that the server lacks, sooner or later.
    pub(super) command: &'static str,
    pub(super) is_cluster: bool,
    server: Server,
    #[cfg(feature = "tls")]
    tls: tls::Files,
    #[cfg(feature = "cluster")]
    _cluster: Option<cluster::Files>,
}

impl Target {
    /// Starts a server that has all commands, or one that lacks its command.
    pub(super) fn start(command: &'static str, is_cluster: bool, is_whole: bool) -> Target {
        let password = format!(">{PASSWORD}");
        let user = ["--user", USER, "on", &password, "~*", "&*", "+@all"];
        let mut args = vec!["--requirepass", PASSWORD];
        args.extend(user);
        #[cfg(feature = "tls")]
        let tls = tls::Files::new();
        #[cfg(feature = "tls")]
        args.extend(tls.args());
        #[cfg(feature = "cluster")]
        let cluster = is_cluster.then(cluster::Files::new);
        #[cfg(feature = "cluster")]
        args.extend(cluster.iter().flat_map(cluster::Files::args));
        if !is_cluster {
            args.extend(alone::NONE);
        }
        if !is_whole {
            args.extend(without(command));
        }
        let target = Target {
            command,
            is_cluster,
            server: Server::start_on_port_with(&args),
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "cluster")]
            _cluster: cluster,
        };
        target.wait_until_ready();
        target
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again, without its command.
    pub(super) fn start_again(&mut self) {
        self.server.start_again_with(&without(self.command));
        self.wait_until_ready();
    }

    /// A new node serves no keys for two seconds.
    fn wait_until_ready(&self) {
        let until = Instant::now() + MS(20_000);
        while self.is_cluster && Instant::now() < until {
            let ready = self
                .connect()
                .and_then(|mut direct| redis::cmd("TTL").arg("a").query::<i64>(&mut direct));
            if ready.is_ok() {
                return;
            }
            thread::sleep(MS(100));
        }
        assert!(!self.is_cluster, "the node serves no keys");
    }

    /// For what the test itself does.
    fn connect(&self) -> RedisResult<Connection> {
        let protocol = if self.command == "AUTH" {
            "?protocol=resp3"
        } else {
            ""
        };
        let (port, database) = (self.server.port(), self.database());
        let url = format!("redis://:{PASSWORD}@127.0.0.1:{port}{database}{protocol}");
        Client::open(url)?.get_connection_with_timeout(MS(3_000))
    }

    /// Writes records past the cache. `HMSET` is another command than `HSET`.
    pub(super) fn put(&self) -> impl FnMut(&str) {
        let mut direct = self.connect();
        assert!(direct.is_ok() || self.command == "SELECT");
        move |key| {
            let mut put = redis::cmd("HMSET");
            put.arg(key).arg(FIELD).arg(CONTENT).arg("version").arg("0");
            if let Ok(direct) = &mut direct {
                put.exec(direct).expect("the server has this command");
            }
        }
    }

    /// Not the first, so that it must be selected. A cluster has only one.
    fn database(&self) -> &str {
        if self.is_cluster { "" } else { "/1" }
    }

    /// The settings of a pool that reaches the server in this way.
    pub(super) fn redis(&self, way: Way) -> RedisBuilder {
        let security = if way.is_tls { "s" } else { "" };
        let kind = if self.is_cluster { "+cluster" } else { "" };
        let user = if way.has_user { USER } else { "" };
        let protocol = if way.is_resp3 { "?protocol=resp3" } else { "" };
        let (port, database) = (self.port(way), self.database());
        let url = format!(
            "redis{security}{kind}://{user}:{PASSWORD}@127.0.0.1:{port}{database}{protocol}"
        );
        // Long timeouts, because many servers and caches run at the same time.
        let long = MS(5_000);
        let builder = hasty(&url).pool_size(2);
        let builder = builder
            .connect_timeout(long)
            .io_timeout(long)
            .checkout_timeout(long);
        let builder = builder.wait_for_replicas(u32::from(self.command == "WAIT"));
        #[cfg(feature = "tls")]
        if way.is_tls {
            return builder.tls_root_certificate(tls::root());
        }
        builder
    }

    fn port(&self, way: Way) -> u16 {
        #[cfg(feature = "tls")]
        if way.is_tls {
            return self.tls.port;
        }
        let _ = way;
        self.server.port()
    }
}

/// The arguments of a server that lacks a command. The role is asked for by `ROLE` only where
/// `HELLO` is missing too.
fn without(command: &'static str) -> Vec<&'static str> {
    let both = [command, "HELLO"];
    let missing = if command == "ROLE" {
        &both[..]
    } else {
        &both[..1]
    };
    let renamed = missing
        .iter()
        .map(|command| ["--rename-command", *command, ""]);
    renamed.flatten().collect()
}

#[cfg(feature = "tls")]
mod tls {
    use std::{fs, sync::LazyLock};

    use tempfile::TempDir;

    use crate::{secure::Authority, support::free_port};

    /// The certificates of all servers of this process.
    static COMMON: LazyLock<(Authority, TempDir)> = LazyLock::new(|| {
        let authority = Authority::new();
        let pair = authority.sign(&["localhost", "127.0.0.1"]);
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("root", authority.pem()),
            ("certificate", pair.certificate),
            ("key", pair.key),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        (authority, folder)
    });

    pub(super) fn root() -> String {
        COMMON.0.pem()
    }

    pub(super) struct Files {
        pub(super) port: u16,
        args: Vec<String>,
    }

    impl Files {
        pub(super) fn new() -> Files {
            let port = free_port();
            let file = |name: &str| COMMON.1.path().join(name).display().to_string();
            let pairs = [
                ("--tls-port", port.to_string()),
                ("--tls-cert-file", file("certificate")),
                ("--tls-key-file", file("key")),
                ("--tls-ca-cert-file", file("root")),
                ("--tls-auth-clients", "no".to_owned()),
            ];
            let args = pairs
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value]);
            let args = args.collect();
            Files { port, args }
        }

        pub(super) fn args(&self) -> impl Iterator<Item = &str> {
            self.args.iter().map(String::as_str)
        }
    }
}

#[cfg(feature = "cluster")]
mod cluster {
    use std::fs;

    use tempfile::TempDir;

    use crate::support::free_port;

    /// What a node keeps of its cluster: that it has all slots.
    pub(super) struct Files {
        _folder: TempDir,
        args: Vec<String>,
    }

    impl Files {
        pub(super) fn new() -> Files {
            let folder = tempfile::tempdir().unwrap();
            let (path, bus_port) = (folder.path().join("nodes"), free_port());
            let node = format!(
                "{:040x} 127.0.0.1:1@{bus_port} myself,master - 0 0 1 connected 0-16383\n\
                 vars currentEpoch 1 lastVoteEpoch 0\n",
                1
            );
            fs::write(&path, node).unwrap();
            let pairs = [
                ("--cluster-enabled", "yes".to_owned()),
                ("--cluster-config-file", path.display().to_string()),
                ("--cluster-port", bus_port.to_string()),
                // Then it tells each client the port that suits it.
                #[cfg(feature = "tls")]
                ("--tls-cluster", "yes".to_owned()),
            ];
            let args = pairs
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value]);
            let args = args.collect();
            Files {
                _folder: folder,
                args,
            }
        }

        pub(super) fn args(&self) -> impl Iterator<Item = &str> {
            self.args.iter().map(String::as_str)
        }
    }
}
