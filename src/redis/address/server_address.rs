//! Where a server is, how to log in there, and how to encrypt the connection.
//!
//! Made by the builder. Knows no connections.

#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(any(feature = "cluster", feature = "sentinel", feature = "tls"))]
use redis::ConnectionAddr;
use redis::ConnectionInfo;
#[cfg(feature = "sentinel")]
use redis::RedisConnectionInfo;
#[cfg(feature = "tls")]
use rustls::ClientConfig;

/// How connections are encrypted. `None`: they are not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls(#[cfg(feature = "tls")] pub(in crate::redis) Option<Arc<ClientConfig>>);

/// The address of a server, with its login.
#[derive(Debug, Clone)]
pub(crate) struct ServerAddress {
    info: ConnectionInfo,
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    tls: Tls,
}

impl ServerAddress {
    pub(crate) fn new(info: ConnectionInfo, tls: &Tls) -> ServerAddress {
        let tls = tls.clone();
        ServerAddress { info, tls }
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// The configuration of TLS, and the host for which the certificate must be.
    #[cfg(feature = "tls")]
    pub(in crate::redis) fn tls(&self) -> Option<(&Arc<ClientConfig>, &str)> {
        match (self.info.addr(), &self.tls.0) {
            (ConnectionAddr::TcpTls { host, .. }, Some(config)) => Some((config, host)),
            _ => None,
        }
    }

    /// The address of another host, with the same login, and with TLS if this one has it.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(crate) fn elsewhere(&self, host: String, port: u16) -> ServerAddress {
        let address = match self.info.addr().clone() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        ServerAddress {
            info: self.info.clone().set_addr(address),
            ..self.clone()
        }
    }

    /// The same address with another login.
    #[cfg(feature = "sentinel")]
    pub(crate) fn with_login(self, login: RedisConnectionInfo) -> ServerAddress {
        ServerAddress {
            info: self.info.set_redis_settings(login),
            ..self
        }
    }
}
