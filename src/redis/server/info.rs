//! The replies of a server to `HELLO` and `INFO`, and whether a cache can use that server.
//!
//! Every user may send `HELLO`, whatever an ACL says. Redis has had it since 6.0. Its reply has
//! everything except the `run_id`, which `INFO` reports. Called for each new connection. Pure:
//! sends nothing.

use std::fmt;

use redis::{Cmd, ProtocolVersion, Value, cmd};

use super::{
    identity::{Role, ServerIdentity},
    text::printable,
    unsupported::UnsupportedServer,
    version::{OLDEST, Version},
};

/// What a server reports about itself. A fact that it leaves out counts as acceptable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// `redis`, `valkey`, or the name of another implementation.
    name: String,
    /// `None` if it cannot be parsed.
    version: Option<Version>,
    /// `standalone`, `cluster` or `sentinel`.
    mode: String,
    /// `master`, or one of the two names for a replica.
    role: String,
    /// Identifies this run of the server. Empty if it is not reported.
    run_id: String,
}

/// The kind of server that an address should lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerMode {
    /// A server that has all keys.
    Single,
    /// A node of a cluster.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(dead_code, reason = "there is no cluster")
    )]
    Node,
}

/// Asks the server for its identity, in the protocol version of the connection. (Redis 6.0 does not
/// know `HELLO` without a version.)
pub(crate) fn hello(protocol: ProtocolVersion) -> Cmd {
    let version = match protocol {
        ProtocolVersion::RESP3 => 3,
        _ => 2,
    };
    cmd("HELLO").arg(version).take()
}

/// The same, and gives the connection a name.
pub(crate) fn hello_as(protocol: ProtocolVersion, client_name: &str) -> Cmd {
    hello(protocol).arg("SETNAME").arg(client_name).take()
}

/// Asks for the `run_id`. A server that does not know `HELLO` also reports its version here.
pub(crate) fn info() -> Cmd {
    cmd("INFO").arg("server").take()
}

impl ServerInfo {
    /// Parses the names and values of the reply to `HELLO`. `None`: the reply has another form.
    pub(crate) fn of_hello(reply: &Value) -> Option<ServerInfo> {
        let pairs: Vec<(&Value, &Value)> = match reply {
            Value::Array(list) => list.chunks_exact(2).map(|two| (&two[0], &two[1])).collect(),
            Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            _ => return None,
        };
        let texts = pairs.into_iter();
        let texts = texts.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        let server_info = ServerInfo::of(texts);
        (!server_info.name.is_empty()).then_some(server_info)
    }

    /// Parses the lines of the reply to `INFO`.
    pub(crate) fn of_info(reply: &Value) -> Option<ServerInfo> {
        let lines = text(reply)?.lines();
        let server_info = ServerInfo::of(lines.filter_map(|line| line.split_once(':')));
        server_info.version.is_some().then_some(server_info)
    }

    /// Combines both: everything from `hello`, and the `run_id` from `info`.
    pub(crate) fn of_both(
        hello: Option<ServerInfo>,
        info: Option<ServerInfo>,
    ) -> Option<ServerInfo> {
        let (Some(hello), Some(info)) = (&hello, &info) else {
            return hello.or(info);
        };
        Some(ServerInfo {
            run_id: info.run_id.clone(),
            ..hello.clone()
        })
    }

    /// The facts that distinguish this server from another.
    pub(crate) fn identity(&self) -> ServerIdentity {
        let run_id = (!self.run_id.is_empty()).then(|| self.run_id.clone());
        ServerIdentity {
            role: Role::named(&self.role),
            run_id,
        }
    }

    fn of<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> ServerInfo {
        let mut server_info = ServerInfo::default();
        for (name, value) in said {
            match name {
                "server" | "server_name" => server_info.name = printable(value).into_owned(),
                // For other implementations, `redis_version` is the version with which they are
                // compatible.
                "version" | "redis_version" => server_info.version = Version::parse(value),
                "mode" | "redis_mode" => value.clone_into(&mut server_info.mode),
                "role" => value.clone_into(&mut server_info.role),
                "run_id" => server_info.run_id = printable(value).into_owned(),
                _ => {}
            }
        }
        server_info
    }

    /// Why a cache cannot use this server, if its address was given as that of `as_what`. `None`:
    /// it can.
    pub(crate) fn unsupported(&self, as_what: ServerMode) -> Option<UnsupportedServer> {
        // Other implementations number their versions differently.
        let is_redis = ["redis", ""].contains(&&*self.name);
        match (&*self.mode, as_what, self.version) {
            ("sentinel", ..) => Some(UnsupportedServer::Sentinel),
            ("cluster", ServerMode::Single, _) => Some(UnsupportedServer::Cluster),
            (_, _, Some(version)) if is_redis && version < OLDEST => {
                Some(UnsupportedServer::TooOld(version))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ServerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.name.is_empty() {
            "redis"
        } else {
            &self.name
        })?;
        self.version
            .map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(pairs: &[(&str, &str)]) -> Option<ServerInfo> {
        let words = pairs.iter().flat_map(|(name, value)| [name, value]);
        let words = words.map(|word| Value::BulkString(word.as_bytes().to_vec()));
        ServerInfo::of_hello(&Value::Array(words.collect()))
    }

    fn redis(version: &str) -> ServerInfo {
        hello(&[("server", "redis"), ("version", version)]).unwrap()
    }

    #[test]
    fn a_server_is_known_by_its_answer_to_hello() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        // The reply of Redis 7.0, in either protocol version.
        let pairs = [
            (text("server"), text("redis")),
            (text("version"), text("7.0.15")),
            (text("proto"), Value::Int(2)),
            (text("id"), Value::Int(3)),
            (text("mode"), text("standalone")),
            (text("role"), text("master")),
            (text("modules"), Value::Array(Vec::new())),
        ];
        let list = pairs.iter().cloned();
        let list = list.flat_map(|(name, value)| [name, value]).collect();
        for reply in [Value::Array(list), Value::Map(pairs.to_vec())] {
            let server_info = ServerInfo::of_hello(&reply).unwrap();
            assert_eq!(server_info.name, "redis");
            assert_eq!(server_info.version, Version::parse("7.0.15"));
            assert_eq!(server_info.unsupported(ServerMode::Single), None);
            assert_eq!(server_info.identity().role, Some(Role::Master));
        }
    }

    #[test]
    fn a_server_from_before_hello_is_known_by_its_info() {
        let info = "# Server\r\nredis_version:5.0.6\r\nredis_mode:standalone\r\n\r\n# Replication\r\nrole:slave\r\n";
        let info = Value::BulkString(info.as_bytes().to_vec());
        let server_info = ServerInfo::of_info(&info).unwrap();
        assert_eq!(
            server_info.unsupported(ServerMode::Single),
            Version::parse("5.0.6").map(UnsupportedServer::TooOld)
        );
        let said = server_info
            .unsupported(ServerMode::Single)
            .unwrap()
            .to_string();
        assert!(said.starts_with("this is Redis 5.0.6, and a cache needs 6.0.9 or later: "));
        assert_eq!(server_info.identity().role, Some(Role::Replica));
        assert_eq!(ServerInfo::of_info(&Value::Okay), None);
        assert_eq!(
            ServerInfo::of_info(&Value::BulkString(b"no".to_vec())),
            None
        );
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        assert_eq!(hello(&[]), None);
        assert_eq!(hello(&[("flavour", "vanilla")]), None);
        assert_eq!(ServerInfo::of_hello(&Value::Nil), None);
    }

    #[test]
    fn only_a_redis_can_be_too_old() {
        for version in ["2.8.24", "5.0.14", "6.0.8", "6.0"] {
            assert!(matches!(
                redis(version).unsupported(ServerMode::Single),
                Some(UnsupportedServer::TooOld(_))
            ));
        }
        for version in [
            "6.0.9", "6.0.16", "6.2.14", "8.2.3", "10.0.0", "7.4.0-v1", "unstable",
        ] {
            assert_eq!(
                redis(version).unsupported(ServerMode::Single),
                None,
                "{version}"
            );
        }
        let other = hello(&[("server", "garnet"), ("version", "1.0.65")]);
        assert_eq!(other.unwrap().unsupported(ServerMode::Single), None);
    }

    #[test]
    fn where_there_are_no_keys_or_not_all_the_right_address_is_named() {
        let node = |mode| hello(&[("server", "valkey"), ("mode", mode)]).unwrap();
        let said = |mode| {
            node(mode)
                .unsupported(ServerMode::Single)
                .unwrap()
                .to_string()
        };
        assert!(said("cluster").contains("`redis+cluster://host:port`"));
        assert!(said("sentinel").contains("`redis+sentinel://host:port/NAME`"));
    }

    #[test]
    fn a_node_of_a_cluster_is_one_where_that_is_wanted() {
        let node = hello(&[("server", "redis"), ("mode", "cluster")]).unwrap();
        assert_eq!(node.unsupported(ServerMode::Node), None);
        let old = hello(&[
            ("server", "redis"),
            ("version", "6.0.3"),
            ("mode", "cluster"),
        ])
        .unwrap();
        assert!(matches!(
            old.unsupported(ServerMode::Node),
            Some(UnsupportedServer::TooOld(_))
        ));
    }

    #[test]
    fn a_replica_is_known_by_both_its_names() {
        for role in ["replica", "slave"] {
            let server_info = hello(&[("server", "redis"), ("role", role)]).unwrap();
            assert_eq!(server_info.identity().role, Some(Role::Replica));
        }
    }

    #[test]
    fn hello_tells_the_role_and_info_the_run_id() {
        let said = hello(&[("server", "redis"), ("role", "master")]);
        let info = "redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:4f2a\r\n";
        let told = ServerInfo::of_info(&Value::BulkString(info.as_bytes().to_vec()));
        let both = ServerInfo::of_both(said.clone(), told.clone()).unwrap();
        assert_eq!(both.identity().role, Some(Role::Master));
        assert_eq!(both.identity().run_id.as_deref(), Some("4f2a"));
        assert_eq!(ServerInfo::of_both(said.clone(), None), said);
        assert_eq!(ServerInfo::of_both(None, told.clone()), told);
    }
}
