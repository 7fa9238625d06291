//! The points of the protocol: where each is reached, and by which calls.

use crate::{caches::Setting, proxy::Proxy, roles::Roles, steps::Step};

/// What the server is to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    Single,
    /// One server, and RESP3 on all connections.
    Resp3,
    #[cfg(feature = "cluster")]
    Cluster,
    #[cfg(feature = "sentinel")]
    Sentinel,
}

pub(crate) const TOPOLOGIES: &[Topology] = &[
    Topology::Single,
    Topology::Resp3,
    #[cfg(feature = "cluster")]
    Topology::Cluster,
    #[cfg(feature = "sentinel")]
    Topology::Sentinel,
];

impl Topology {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Topology::Single => "single",
            Topology::Resp3 => "resp3",
            #[cfg(feature = "cluster")]
            Topology::Cluster => "cluster",
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => "sentinel",
        }
    }

    fn is_cluster(self) -> bool {
        self.name() == "cluster"
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    GetMany,
    GetSlow,
    GetFailing,
    Refresh,
    RefreshFailing,
    Invalidate,
    InvalidateMany,
    Expire,
    Write,
    Update,
    UpdateField,
    Ttl,
    Clear,
    Near,
    Pause,
}

/// A point of the protocol.
pub(crate) struct Point {
    pub(crate) name: &'static str,
    pub(crate) calls: &'static [Call],
    /// Whether `build` reaches it.
    pub(crate) at_build: bool,
    /// What each read gets, because the point is reached after that.
    pub(crate) reads: Option<Step>,
    pub(crate) roles: Roles,
    pub(crate) setting: Setting,
    login: &'static str,
    database: &'static str,
    /// The name of the only topology that has it.
    only: &'static str,
    /// The name of a topology that does not have it.
    not: &'static str,
}

impl Point {
    fn new(name: &'static str, calls: &'static [Call]) -> Point {
        Point {
            name,
            calls,
            at_build: false,
            reads: None,
            roles: Roles::default(),
            setting: Setting::default(),
            login: "",
            database: "",
            only: "",
            not: "",
        }
    }

    fn at_build(name: &'static str) -> Point {
        Point {
            at_build: true,
            ..Point::new(name, &[Call::Get])
        }
    }

    pub(crate) fn is_on(&self, topology: Topology) -> bool {
        ["", topology.name()].contains(&self.only) && self.not != topology.name()
    }

    /// Whether a reply is at this point.
    pub(crate) fn is(&self, point: &str) -> bool {
        self.name == "any" || self.name == point
    }

    pub(crate) fn roles(&self, topology: Topology) -> Roles {
        Roles {
            cluster: topology.is_cluster(),
            ..self.roles
        }
    }

    /// The address for the cache.
    pub(crate) fn url(&self, topology: Topology, proxy: &Proxy) -> String {
        let (login, database, port) = (self.login, self.database, proxy.port);
        match topology {
            Topology::Single => format!("redis://{login}127.0.0.1:{port}{database}"),
            Topology::Resp3 => format!("redis://{login}127.0.0.1:{port}{database}?protocol=resp3"),
            #[cfg(feature = "cluster")]
            Topology::Cluster => format!("redis+cluster://{login}127.0.0.1:{port}"),
            #[cfg(feature = "sentinel")]
            Topology::Sentinel => {
                let port = proxy.sentinel_port;
                format!("redis+sentinel://{login}127.0.0.1:{port}/main{database}")
            }
        }
    }
}

use Call::{
    Clear, Expire, Get, GetFailing, GetMany, GetSlow, Invalidate, InvalidateMany, Near, Pause,
    Refresh, RefreshFailing, Ttl, Update, UpdateField, Write,
};

/// All of them, in the order in which a program meets them.
pub(crate) fn all() -> Vec<Point> {
    [at_build(), in_calls(), in_roles(), on_listeners()]
        .into_iter()
        .flatten()
        .collect()
}

fn at_build() -> Vec<Point> {
    let without_hello = Roles {
        without_hello: true,
        ..Roles::default()
    };
    let only = |only, name| Point {
        only,
        ..Point::at_build(name)
    };
    vec![
        Point::at_build("hello"),
        Point {
            login: "default:secret@",
            not: "resp3",
            ..Point::at_build("auth")
        },
        Point {
            database: "/3",
            not: "cluster",
            ..Point::at_build("select")
        },
        Point::at_build("info"),
        Point {
            roles: without_hello,
            not: "resp3",
            ..Point::at_build("role")
        },
        Point::at_build("script-load"),
        Point::at_build("no-script"),
        only("cluster", "cluster-slots"),
        only("sentinel", "sentinel-address"),
        only("sentinel", "sentinel-master"),
        Point {
            calls: &[Get, Invalidate, Update],
            ..Point::at_build("any")
        },
    ]
}

fn in_calls() -> Vec<Point> {
    vec![
        Point::new("hgetall", &[Get, GetMany, Update]),
        Point::new("acquire", &[Get, GetMany]),
        Point::new("fill", &[Get, GetMany]),
        Point::new("release", &[GetFailing]),
        Point::new("renew", &[GetSlow]),
        Point::new("pttl", &[Refresh, Ttl]),
        Point::new("refresh", &[Refresh]),
        Point::new("back-off", &[RefreshFailing]),
        Point::new("invalidate", &[Invalidate, InvalidateMany, Clear]),
        Point::new("expire", &[Expire]),
        Point::new("guard", &[Write]),
        Point::new("unguard", &[Write]),
        Point::new("type", &[Update, UpdateField]),
        Point::new("watch", &[Update, UpdateField]),
        Point::new("multi", &[Update, UpdateField]),
        Point::new("queued", &[Update, UpdateField]),
        Point::new("exec", &[Update, UpdateField]),
        Point::new("scan", &[Clear]),
        Point {
            only: "cluster",
            ..Point::new("cluster-nodes", &[Clear])
        },
    ]
}

/// Those that are reached only if the server has a role, or fails first.
fn in_roles() -> Vec<Point> {
    let roles = Roles::default();
    let after = |step, name| Point {
        reads: Some(step),
        setting: Setting {
            breaker_threshold: 1,
            ..Setting::default()
        },
        ..Point::new(name, &[Get, Get, Pause])
    };
    vec![
        Point {
            roles: Roles {
                replica: true,
                ..roles
            },
            setting: Setting {
                replicas: 1,
                ..Setting::default()
            },
            ..Point::new("wait", &[Invalidate, Write, Update])
        },
        Point {
            not: "cluster",
            ..after(Step::Cut, "ping")
        },
        Point {
            only: "cluster",
            ..after(Step::Silence, "cluster-info")
        },
        Point {
            only: "cluster",
            roles: Roles {
                migrating: true,
                ..roles
            },
            ..Point::new("delete-key", &[Invalidate, Write])
        },
        Point {
            only: "cluster",
            roles: Roles {
                asking: true,
                ..roles
            },
            ..Point::new("asking", &[Get])
        },
    ]
}

fn on_listeners() -> Vec<Point> {
    let near = |name| Point {
        setting: Setting {
            near: true,
            ..Setting::default()
        },
        ..Point::new(name, &[Near])
    };
    ["client-tracking", "push", "heartbeat"].map(near).into()
}
