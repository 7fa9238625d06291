//! Least privilege: the ACL rule of the guide, and the user with that rule for all caches in the
//! tests.
//!
//! `CACHE_ASIDE_TEST_ACL=1 cargo test` runs the tests as that user. What the tests themselves do to
//! a server, they do as the user `default`, who may do everything.

use std::{collections::HashMap, env, sync::atomic::Ordering, time::Duration};

use redis::{Client, Connection, RedisResult, Value};

use super::{Address, Server, alone};

/// What Redis must allow a cache with the prefix [`PREFIX`]: the words of `ACL SETUSER`.
pub const RULE: &str = include_str!("acl.txt");

/// The prefix in the rule.
pub const PREFIX: &str = "cache:product:";

/// Additional permissions for a cache on a cluster.
pub const CLUSTER_RULE: &str = "+cluster|slots +cluster|info +cluster|nodes +asking";

/// Additional permissions for a cache with versions.
pub const VERSIONS_RULE: &str = "~floor:{cache:product:* ~floor:cache:product:*";

/// Additional permissions for tags, in the namespace of this rule.
pub const TAGS_RULE: &str = "~tags:{cache}* +mget";

/// The namespaces of the tags in tests, as patterns.
const NAMESPACES: [&str; 3] = ["{cache}", "{test*}", "{other}"];

/// Additional permission for a cache that waits for replicas.
pub const REPLICAS_RULE: &str = "+wait";

/// The prefixes of the caches in tests, examples and benchmarks.
const PREFIXES: [&str; 12] = [
    PREFIX,
    "test:",
    "{test}:",
    "product:",
    "person:",
    "others:",
    "a:",
    "b:",
    "history:",
    "sqlite:",
    "stampede:",
    "expiry:",
];

const USER: &str = "cache-aside";
const PASSWORD: &str = "secret";

/// Whether the caches log in as a user with only the rule's permissions.
fn is_on() -> bool {
    env::var("CACHE_ASIDE_TEST_ACL").is_ok_and(|value| !value.is_empty())
}

/// The words of the rule, for these prefixes.
pub fn words(prefixes: &[&str]) -> Vec<String> {
    words_of(RULE, prefixes)
}

/// The words of a rule, for these prefixes.
pub fn words_of(rule: &str, prefixes: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for word in rule.split_whitespace() {
        if word.contains(PREFIX) {
            words.extend(prefixes.iter().map(|prefix| word.replace(PREFIX, prefix)));
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

/// The arguments of a server, so that the user exists before any client connects.
pub(super) fn server_args(is_cluster: bool) -> Vec<String> {
    if !is_on() {
        return Vec::new();
    }
    let user = ["--user", USER, "on", &format!(">{PASSWORD}")].map(str::to_owned);
    let floors = words_of(VERSIONS_RULE, &PREFIXES);
    let mut words = [&user[..], &words(&PREFIXES), &floors].concat();
    for namespace in NAMESPACES {
        let rule = TAGS_RULE.replace(NAMESPACES[0], namespace);
        words.extend(rule.split_whitespace().map(str::to_owned));
    }
    if is_cluster {
        words.extend(CLUSTER_RULE.split_whitespace().map(str::to_owned));
        words.push(REPLICAS_RULE.to_owned());
    }
    words
}

/// The address of a server behind a port of the loopback interface, for caches.
pub fn url_at(port: u16) -> String {
    let scheme = if alone::is_on() {
        "redis+cluster"
    } else {
        "redis"
    };
    if is_on() {
        format!("{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}")
    } else {
        format!("{scheme}://127.0.0.1:{port}")
    }
}

/// The user name of the caches.
pub fn user() -> &'static str {
    if is_on() { USER } else { "default" }
}

impl Server {
    /// The address for caches.
    pub fn url(&self) -> String {
        if let Some(port) = self.cluster_port {
            return url_at(port);
        }
        match &self.address {
            Address::Socket(_) if is_on() => {
                format!("{}?user={USER}&pass={PASSWORD}", self.admin_url())
            }
            Address::Socket(_) => self.admin_url(),
            Address::Port(port) => url_at(*port),
        }
    }

    /// The same, with a parameter.
    pub fn url_with(&self, parameter: &str) -> String {
        let url = self.url();
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}{parameter}")
    }

    /// The address for tests that inspect or harm the server: the user `default`.
    pub fn admin_url(&self) -> String {
        match &self.address {
            Address::Socket(path) => format!("unix://{}", path.display()),
            Address::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Its host and port or its socket, as errors and log lines name it.
    pub fn place(&self) -> String {
        self.admin_url().split_once("://").unwrap().1.to_owned()
    }

    /// Changes what that user may do.
    pub fn set_user(&self, rules: &[&str]) {
        self.expect_denials();
        self.allow(rules);
    }

    /// Gives that user more permissions, which must not be denied from now on.
    pub fn allow(&self, rules: &[&str]) {
        redis::cmd("ACL")
            .arg("SETUSER")
            .arg(user())
            .arg(rules)
            .exec(&mut self.connect())
            .expect("the private server answers");
    }

    /// From now on denials are expected, because the test is about them.
    pub fn expect_denials(&self) {
        self.may_deny.store(true, Ordering::Relaxed);
    }
}

/// What the server has denied to caches although the rule should be enough. A server that is gone
/// or silent returns nothing.
pub(super) fn denied(server: &Server) -> Vec<Denial> {
    if !is_on() || server.may_deny.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let patience = Duration::from_secs(1);
    let log = Client::open(server.admin_url()).and_then(|client| {
        let mut direct = client.get_connection_with_timeout(patience)?;
        direct.set_read_timeout(Some(patience))?;
        denials(&mut direct)
    });
    log.unwrap_or_default()
}

/// A line of a server's `ACL LOG`.
#[derive(Debug)]
pub struct Denial {
    /// `command`, `key` or `channel`.
    pub reason: String,
    /// Which one.
    pub object: String,
    /// To whom.
    pub user: String,
}

/// What the server has denied lately.
pub fn denials(direct: &mut Connection) -> RedisResult<Vec<Denial>> {
    let lines: Vec<HashMap<String, Value>> = redis::cmd("ACL").arg("LOG").query(direct)?;
    let mut log = Vec::new();
    for line in lines {
        let word = |name: &str| {
            let value = line.get(name).cloned().unwrap_or(Value::Nil);
            redis::from_redis_value::<String>(value)
        };
        log.push(Denial {
            reason: word("reason")?,
            object: word("object")?,
            user: word("username")?,
        });
    }
    // A wrong password is no question of what a user may do.
    log.retain(|denial| denial.reason != "auth");
    Ok(log)
}
