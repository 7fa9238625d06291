//! The address of a node of a cluster, as other nodes report it.
//!
//! Sends nothing.

use std::fmt;

use crate::redis::server::text::{is_host, printable};

/// The host and port at which a node of a cluster listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl NodeAddress {
    /// Parses `host:port`, as in a redirection.
    pub(crate) fn parse(text: &str, reported_by: &NodeAddress) -> Option<NodeAddress> {
        let (host, port) = host_and_port(text)?;
        NodeAddress::of(host, port, reported_by)
    }

    /// The address of a node. A node may not know its own host, may not report it, or may have no
    /// name although the cluster uses names. Then it gets the host of the node that reported it.
    /// `None`: no server has such a host.
    pub(crate) fn of(host: &str, port: u16, reported_by: &NodeAddress) -> Option<NodeAddress> {
        let is_known = !["", "?"].contains(&host);
        let host = if is_known { host } else { &reported_by.host };
        is_host(host).then(|| NodeAddress {
            host: host.to_owned(),
            port,
        })
    }
}

/// The parts of `host:port`. `None`: it is something else.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host, port.parse().ok()?)).filter(|(host, _)| is_host(host))
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", printable(&self.host), self.port)
    }
}
