//! Parses an address: one server, the nodes of a cluster, or the sentinels that know the server.
//!
//! The standard scheme of Redis names one host. The schemes for several hosts end with their kind:
//! `redis+cluster://a,b,c` and `redis+sentinel://a,b,c/NAME`. redis-rs parses each host as a
//! separate address, so the same syntax is allowed there.
//!
//! Guarantees that no message contains any part of an address, because it may contain a password.
//! Called by the builder.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::error::Error;

/// What to connect to.
#[derive(Debug)]
pub(crate) enum Address {
    /// One server.
    Server(ConnectionInfo),
    /// The cluster to which these nodes belong.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "it is refused"))]
    Cluster(Vec<ConnectionInfo>),
    /// The server that these sentinels know by this name. It also has the user, password and
    /// database for that server. They are not sent to the sentinels.
    #[cfg_attr(not(feature = "sentinel"), allow(dead_code, reason = "it is refused"))]
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
    },
}

/// The suffix of a scheme that allows several hosts.
const CLUSTER: &str = "+cluster";
const SENTINEL: &str = "+sentinel";

/// The port of a sentinel, if the address has none.
const SENTINEL_PORT: u16 = 26379;

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        check_password(url)?;
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if let Some(scheme) = scheme.strip_suffix(CLUSTER) {
            return each_host(scheme, rest, "").map(Address::Cluster);
        }
        if let Some(scheme) = scheme.strip_suffix(SENTINEL) {
            let (hosts, path) = rest
                .split_once('/')
                .ok_or_else(|| refused("write `redis+sentinel://host:26379,host:26379/NAME`"))?;
            let end = path.find(['/', '?', '#']).unwrap_or(path.len());
            let (name, path) = path.split_at(end);
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
    #[cfg(feature = "tls")]
    pub(crate) fn map(
        self,
        change: impl Fn(ConnectionInfo) -> Result<ConnectionInfo, Error>,
    ) -> Result<Address, Error> {
        let each = |hosts: Vec<_>| hosts.into_iter().map(&change).collect::<Result<_, _>>();
        Ok(match self {
            Address::Server(host) => Address::Server(change(host)?),
            Address::Cluster(hosts) => Address::Cluster(each(hosts)?),
            Address::Sentinel { sentinels, name } => {
                let sentinels = each(sentinels)?;
                Address::Sentinel { sentinels, name }
            }
        })
    }
}

fn refused(reason: impl Into<String>) -> Error {
    let (setting, reason) = ("address", reason.into());
    Error::InvalidSetting { setting, reason }
}

/// Refuses an address whose host begins within the password, as in `redis://user:12#34@host`. Such
/// an address would lead to the host `user`, and the error message would show a part of the
/// password.
fn check_password(url: &str) -> Result<(), Error> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // The address of a socket has no host, and its path may contain any character.
    if !scheme.ends_with("unix") && rest[authority_ends..].contains('@') {
        return Err(refused(
            "there is an `@` behind the host; in a password `#` is `%23`, `/` is `%2F`, `?` is `%3F`",
        ));
    }
    Ok(())
}

/// Returns an address for each host, with the user before it and the path after it.
fn each_host(scheme: &str, rest: &str, path: &str) -> Result<Vec<ConnectionInfo>, Error> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
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
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let with_port = |host: &str| {
        // The colons within `[::1]` do not begin a port.
        let name_ends = host.rfind(']').unwrap_or(0);
        if host[name_ends..].contains(':') {
            host.to_owned()
        } else {
            format!("{host}:{SENTINEL_PORT}")
        }
    };
    let hosts: Vec<_> = hosts.split(',').map(str::trim).map(with_port).collect();
    user + &hosts.join(",")
}

fn one(url: &str) -> Result<ConnectionInfo, Error> {
    if !cfg!(feature = "tls") && (url.starts_with("rediss:") || url.starts_with("valkeys:")) {
        return Err(refused(
            "for a connection by TLS, add the feature `tls` of this crate",
        ));
    }
    let info = url.into_connection_info().map_err(|cause: RedisError| {
        // Without the detail of the error, which repeats a part of the address.
        let why = cause.to_string();
        let detail = cause.detail().unwrap_or_default();
        let why = why.strip_suffix(detail).unwrap_or(&why);
        let why = why.trim_end_matches([':', ' ']);
        refused(format!(
            "{why}; write `redis://host:6379`, `unix:///path`, `redis+cluster://host:6379,host:6379` or \
             `redis+sentinel://host:26379/NAME`"
        ))
    })?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        // redis-rs would allow this form if any crate of the program has enabled the feature for
        // it.
        return Err(refused(
            "`#insecure` is not supported: certificates are always checked; a root of your own is set by `tls_root_certificate`",
        ));
    }
    let tcp = info
        .tcp_settings()
        .clone()
        // Otherwise a request larger than a packet would wait for the server's delayed
        // acknowledgement.
        .set_nodelay(true);
    // redis-rs does not send the name of the library: it would wait a whole connect timeout for
    // each of the two replies.
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_tcp_settings(tcp).set_redis_settings(login))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(infos: &[ConnectionInfo]) -> Vec<String> {
        infos.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn the_nodes_of_a_cluster_have_the_same_user_and_parameters() {
        let Ok(Address::Cluster(nodes)) =
            Address::parse("redis+cluster://me:p%40ss@one:7000,[::1]:7001, two?protocol=resp3")
        else {
            panic!("it is the address of a cluster");
        };
        assert_eq!(shown(&nodes), ["one:7000", "::1:7001", "two:6379"]);
        for node in &nodes {
            let login = node.redis_settings();
            assert_eq!(
                (login.username(), login.password()),
                (Some("me"), Some("p@ss"))
            );
            assert_eq!(login.protocol(), redis::ProtocolVersion::RESP3);
        }
    }

    #[test]
    fn sentinels_have_a_port_of_their_own_and_a_name_for_the_server() {
        let Ok(Address::Sentinel { sentinels, name }) =
            Address::parse("redis+sentinel://:secret@one,[::1],two:5000/shop/3")
        else {
            panic!("it is the address of sentinels");
        };
        assert_eq!(name, "shop");
        assert_eq!(shown(&sentinels), ["one:26379", "::1:26379", "two:5000"]);
        let login = sentinels[0].redis_settings();
        assert_eq!((login.password(), login.db()), (Some("secret"), 3));
    }

    #[test]
    fn a_password_that_would_end_the_host_is_refused_with_a_hint() {
        for scheme in ["redis", "rediss", "redis+cluster", "redis+sentinel"] {
            for end in ["/", "?", "#", "/x?", "?x=1#"] {
                for path in ["", "/shop/0"] {
                    let url = format!("{scheme}://u:12{end}rest@host{path}");
                    let refusal = Address::parse(&url).unwrap_err().to_string();
                    assert!(refusal.contains("`#` is `%23`"), "{url}: {refusal}");
                    assert!(!refusal.contains("12"), "{url}: {refusal}");
                    assert!(!refusal.contains("rest"), "{url}: {refusal}");
                }
            }
        }
        let escaped = "redis://u:12%23re%2Fst%3F%40@host";
        let Ok(Address::Server(server)) = Address::parse(escaped) else {
            panic!("it is the address of a server");
        };
        let password = server.redis_settings().password().map(str::to_owned);
        assert_eq!(password.as_deref(), Some("12#re/st?@"));
        // A socket has no host that a character could end.
        assert!(Address::parse("unix:///a@b.sock?pass=p@ss").is_ok());
    }

    #[test]
    fn an_invalid_address_is_refused_without_being_quoted() {
        for url in [
            "redis+sentinel://:secret@one",
            "redis+sentinel://:secret@one/",
            "redis+cluster://:secret@",
            "redis+cluster://:secret@one,,two",
            "redis+cluster://:secret@one,:secret@two",
            "redis://:secret@one/secret",
            "redis://one?protocol=secret",
            "http://:secret@one",
            ":secret",
        ] {
            let refusal = Address::parse(url).unwrap_err().to_string();
            assert!(refusal.starts_with("setting `address`: "), "{refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }
}
