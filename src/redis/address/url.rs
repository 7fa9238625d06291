//! Parses an address: one server, the nodes of a cluster, or the sentinels that know the server.
//!
//! The standard scheme of Redis names one host. The schemes for several hosts end with their kind:
//! `redis+cluster://a,b,c` and `redis+sentinel://a,b,c/NAME`. redis-rs parses each host as a
//! separate address, so the same syntax is allowed there.
//!
//! White space around an address is ignored, whatever its form: addresses often come from files and
//! environment variables.
//!
//! Guarantees that no message contains any part of an address but the name of a parameter, because
//! an address may contain a password.
//! Called by the builder.

mod check;

#[cfg(feature = "tls")]
use redis::ConnectionAddr;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError};

use self::check::check;

use crate::error::Error;
use crate::redis::error::Reported;

/// What to connect to.
#[derive(Debug)]
pub(crate) enum Address<T = ConnectionInfo> {
    /// One server.
    Server(T),
    /// The cluster to which these nodes belong.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "it is refused"))]
    Cluster(Vec<T>),
    /// The server that these sentinels know by this name. It also has the user, password and
    /// database for that server. They are not sent to the sentinels.
    #[cfg_attr(not(feature = "sentinel"), allow(dead_code, reason = "it is refused"))]
    Sentinel { sentinels: Vec<T>, name: String },
}

/// The suffix of a scheme that allows several hosts.
const CLUSTER: &str = "+cluster";
const SENTINEL: &str = "+sentinel";

/// The port of a sentinel, if the address has none.
const SENTINEL_PORT: u16 = 26379;

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let url = url.trim();
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        let scheme = scheme.to_ascii_lowercase();
        check(&scheme, rest.trim_start_matches('/'))?;
        let Some(rest) = rest.strip_prefix("//") else {
            return one(url).map(Address::Server);
        };
        if let Some(scheme) = scheme.strip_suffix(CLUSTER) {
            return each_host(scheme, rest, "").map(Address::Cluster);
        }
        if let Some(scheme) = scheme.strip_suffix(SENTINEL) {
            let (hosts, path) = rest
                .split_once('/')
                .ok_or_else(|| refused("write `redis+sentinel://host:26379,host:26379/NAME`"))?;
            let end = path.find(['/', '?', '#']).unwrap_or(path.len());
            let (name, path) = path.split_at(end);
            if name.contains(char::is_whitespace) {
                return Err(refused(
                    "there is white space in the name behind the sentinels",
                ));
            }
            if name.is_empty() {
                return Err(refused(
                    "after the sentinels comes the name under which they know the server: `redis+sentinel://host:26379/NAME`",
                ));
            }
            return Ok(Address::Sentinel {
                sentinels: each_host(scheme, &with_port(hosts), path)?,
                name: name.to_owned(),
            });
        }
        one(url).map(Address::Server)
    }

    /// The same address, with each of its hosts changed.
    pub(crate) fn map<T>(self, change: impl Fn(ConnectionInfo) -> T) -> Address<T> {
        let each = |hosts: Vec<_>| hosts.into_iter().map(&change).collect();
        match self {
            Address::Server(host) => Address::Server(change(host)),
            Address::Cluster(hosts) => Address::Cluster(each(hosts)),
            Address::Sentinel { sentinels, name } => {
                let sentinels = each(sentinels);
                Address::Sentinel { sentinels, name }
            }
        }
    }

    /// Whether it is one for TLS. All of its hosts share the scheme.
    #[cfg(feature = "tls")]
    pub(crate) fn is_tls(&self) -> bool {
        let first = match self {
            Address::Server(host) => Some(host),
            Address::Cluster(hosts)
            | Address::Sentinel {
                sentinels: hosts, ..
            } => hosts.first(),
        };
        first.is_some_and(|host| matches!(host.addr(), ConnectionAddr::TcpTls { .. }))
    }
}

fn refused(reason: impl Into<String>) -> Error {
    let (setting, reason) = ("address", reason.into());
    Error::InvalidSetting { setting, reason }
}

/// Returns an address for each host, with the user before it and the path after it.
fn each_host(scheme: &str, rest: &str, path: &str) -> Result<Vec<ConnectionInfo>, Error> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user, hosts) = user_and_hosts(authority);
    let url = |host| format!("{scheme}://{user}{host}{after}{path}");
    if user.matches('@').count() > 1 {
        return Err(refused(
            "one user and password, before the first host, is for all of them; in a password `@` is `%40`",
        ));
    }
    hosts
        .split(',')
        .map(|host| one(&url(host.trim())))
        .collect()
}

/// The same hosts. A host without a port gets the default port of sentinels.
fn with_port(authority: &str) -> String {
    let (user, hosts) = user_and_hosts(authority);
    let with_port = |host: &str| match name_and_port(host) {
        Some(_) => host.to_owned(),
        None => format!("{host}:{SENTINEL_PORT}"),
    };
    let hosts: Vec<_> = hosts.split(',').map(str::trim).map(with_port).collect();
    format!("{user}{}", hosts.join(","))
}

/// The part up to the `@`, and the hosts.
fn user_and_hosts(authority: &str) -> (&str, &str) {
    authority.split_at(authority.rfind('@').map_or(0, |at| at + 1))
}

/// The name of a host, and what follows its first colon. `None`: there is no port.
fn name_and_port(host: &str) -> Option<(&str, &str)> {
    // The colons within `[::1]` do not begin a port.
    let name_ends = host.rfind(']').unwrap_or(0);
    let colon = name_ends + host[name_ends..].find(':')?;
    Some((&host[..colon], &host[colon + 1..]))
}

fn one(url: &str) -> Result<ConnectionInfo, Error> {
    if !cfg!(feature = "tls") && (url.starts_with("rediss:") || url.starts_with("valkeys:")) {
        return Err(refused(
            "for a connection by TLS, add the feature `tls` of this crate",
        ));
    }
    let info = url.into_connection_info().map_err(|cause: RedisError| {
        // Without the detail of the error, which repeats a part of the address.
        let why = Reported(cause.clone()).to_string();
        let detail = cause.detail().unwrap_or_default();
        let why = why.strip_suffix(detail).unwrap_or(&why);
        let why = why.trim_end_matches([':', ' ']);
        let hint = if url.contains('@') {
            "; in a user or a password, write any character but letters and digits as `%` and its code"
        } else {
            ""
        };
        refused(format!(
            "{why}; write `redis://host:6379`, `redis://host:6379/3` for database 3, `unix:///path`, \
             `redis+cluster://host:6379,host:6379` or `redis+sentinel://host:26379/NAME`{hint}"
        ))
    })?;
    let login = login(info.redis_settings())?;
    Ok(info.set_redis_settings(login))
}

/// The login in an address. An empty user or password counts as none, in a parameter too.
fn login(given: &RedisConnectionInfo) -> Result<RedisConnectionInfo, Error> {
    let is_given = |text: &&str| !text.is_empty();
    let (user, password) = (
        given.username().filter(is_given),
        given.password().filter(is_given),
    );
    let login = RedisConnectionInfo::default()
        .set_db(given.db())
        .set_protocol(given.protocol());
    match (user, password) {
        (None | Some("default"), None) => Ok(login),
        // It would not be sent. The connection would be that of the user `default`.
        (Some(_), None) => Err(refused(
            "there is a user without a password; a user that needs none takes any",
        )),
        (None, Some(password)) => Ok(login.set_password(password)),
        (Some(user), Some(password)) => Ok(login.set_username(user).set_password(password)),
    }
}

#[cfg(test)]
mod tests;
