//! Which libraries are measured, in which setting, and what their documentation says about stale
//! reads.

use std::{env, fs::File, path::Path, process::Command, time::Duration};

/// This crate.
pub(crate) const OURS: &str = "cache-aside";

/// The helper from the documentation of Redis.
pub(crate) const HELPER: &str = "plain helper";

/// Where `install` puts the libraries of other languages.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/league");

/// What the workers of other languages print on stderr.
const LOG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/league/stderr.log"
);

/// The TTL of the records of all workers: see `workers/`.
const TTL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) statement: Statement,
    /// How it is set up.
    pub(crate) setup: &'static str,
    /// What its documentation says about stale reads.
    pub(crate) says: &'static str,
}

/// What a documentation says about reads after a write, in one rule for all: it must speak of old
/// records, of a load that overwrites a write, or of messages that tell other processes. That
/// records have a TTL is no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// They are never stale.
    Never,
    /// They may be, for this time. It is the TTL if the documentation names no time.
    Within(Duration),
    /// We found none.
    NotFound,
}

impl Statement {
    /// A stale read counts as documented if the newer version was written less than this before it
    /// began.
    pub(crate) fn bound(self) -> Option<Duration> {
        match self {
            Statement::Within(bound) => Some(bound),
            Statement::Never | Statement::NotFound => None,
        }
    }
}

/// How to start a worker.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// This program, as the worker of this name, for the crate of that name in the lock file.
    Rust(&'static str, Option<&'static str>),
    /// A file in `workers/`, with a mode if it has several.
    Python(&'static str, Option<&'static str>),
    JavaScript(&'static str, Option<&'static str>),
    /// Of the command line.
    Given(String),
}

impl Peer {
    /// A worker of the command line: `python3 my_worker.py`.
    pub(crate) fn given(command: &str) -> Peer {
        Peer {
            name: command.to_owned(),
            program: Program::Given(command.to_owned()),
            statement: Statement::NotFound,
            setup: "",
            says: "",
        }
    }

    /// The program of the worker. What libraries of other languages print on stderr goes to a file.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.program();
        let log = File::options().create(true).append(true).open(LOG);
        if let (true, Ok(log)) = (self.is_installed_apart(), log) {
            command.stderr(log);
        }
        command
    }

    fn program(&self) -> Command {
        let installed = Path::new(INSTALLED);
        match &self.program {
            Program::Rust(name, _) => {
                let program = env::current_exe().expect("this program has a path");
                let mut command = Command::new(program);
                command.args(["worker", name]);
                command
            }
            Program::Python(file, mode) => {
                let mut command = Command::new(installed.join("python/bin/python"));
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workers");
                command.arg(Path::new(folder).join(file)).args(mode);
                command
            }
            Program::JavaScript(file, mode) => {
                let mut command = Command::new("node");
                command
                    .arg(installed.join("javascript").join(file))
                    .args(mode);
                command
            }
            Program::Given(text) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("exec {text}")]);
                command
            }
        }
    }

    /// Whether `install` must run first.
    pub(crate) fn is_installed_apart(&self) -> bool {
        matches!(self.program, Program::Python(..) | Program::JavaScript(..))
    }

    /// A mark for tables: the documentation says that reads may be stale.
    pub(crate) fn mark(&self) -> &'static str {
        if self.statement.bound().is_some() {
            " †"
        } else {
            ""
        }
    }
}

/// The peers of the short form.
pub(crate) fn short() -> Vec<Peer> {
    all()
        .into_iter()
        .filter(|peer| [OURS, HELPER].contains(&&*peer.name))
        .collect()
}

/// All peers, in the order of the tables.
#[rustfmt::skip]
pub(crate) fn all() -> Vec<Peer> {
    use Program::{JavaScript, Python, Rust};
    use Statement::{Never, NotFound, Within};
    let peer = |name: &str, program, statement, setup, says| Peer {
        name: name.to_owned(), program, statement, setup, says,
    };
    vec![
        peer(
            OURS, Rust("cache-aside", Some("cache-aside")), Never,
            "`get`, and `invalidate` after a write, with the default settings.",
            "No stale read after a write has returned: [Design](../src/guide/design.md).",
        ),
        peer(
            "cache-aside, near cache", Rust("cache-aside-near", Some("cache-aside")), Within(Duration::from_secs(1)),
            "The same with `near_cache`, and its default `near_staleness` of 1 s.",
            "Another process may be late by `near_staleness`: [Near cache](../src/guide/near-cache.md).",
        ),
        peer(
            HELPER, Rust("helper", None), Within(TTL),
            "The helper of Redis's documentation for the use case cache-aside, rewritten with its constants.",
            "Staleness is bounded by the TTL: \
             [Redis cache-aside](https://redis.io/docs/latest/develop/use-cases/cache-aside/redis-py/).",
        ),
        peer(
            "cached", Rust("cached", Some("cached")), Within(TTL),
            "`RedisCache`, in the calls of `#[concurrent_cached(redis = true)]`; `cache_delete` after a write.",
            "A computed value overwrites one that another thread has stored meanwhile: \
             [`cache_get_or_set_with`](https://docs.rs/cached/4.1.0/cached/trait.ConcurrentCached.html).",
        ),
        peer(
            "amalgam-cache", Rust("amalgam", Some("amalgam-cache")), Within(TTL),
            "`BlockingCache` with Redis as store and backplane, and its memory in front; `remove` after a write.",
            "Missed notifications leave old data visible until it expires, and nodes are not linearizable: \
             [README](https://docs.rs/crate/amalgam-cache).",
        ),
        peer(
            "amalgam, strict", Rust("amalgam-strict", Some("amalgam-cache")), Within(TTL),
            "The same with `strict()`, its distributed locker, no step in the background, and all errors reported. Its leases \
             take 2 s instead of 30 s: lookups wait for that of a process that died or lost its connection.",
            "Fills are fenced by the lease. Independent nodes are not linearizable, as above.",
        ),
        peer(
            "moka and Redis, by hand", Rust("moka", Some("moka")), Within(TTL),
            "A map of `moka` with a TTL of 1 s, then `GET`, load and `SET EX`; `DEL` and `invalidate` after a write.",
            "[moka](https://docs.rs/moka) promises nothing about Redis: this program is ours. Its reads may be old until the \
             TTLs of the map and of the record end; the program chooses them.",
        ),
        peer(
            "dogpile.cache", Python("dogpile_cache.py", Some("default")), NotFound,
            "A region on `dogpile.cache.redis`; `get_or_create`, and `delete` after a write. A lock in the process.",
            "Nothing found about writes during a load: \
             [usage](https://dogpilecache.sqlalchemy.org/en/latest/usage.html).",
        ),
        peer(
            "dogpile, distributed lock", Python("dogpile_cache.py", Some("distributed")), NotFound,
            "The same with `distributed_lock`, which its documentation advises for several processes.",
            "As above. The lock is about loads; `delete` does not take it.",
        ),
        peer(
            "redis-py cache, by hand", Python("redis_py.py", None), Within(TTL),
            "`CacheConfig` and RESP3: `get`, load and `set`; `delete` after a write. Each thread has a client: with one for \
             all, requests ended in its timeout of 5 s.",
            "The loads and fills are ours. Of the cache in the client: replies and messages of the server may race, and a \
             TTL is advised: \
             [client-side caching](https://redis.io/docs/latest/develop/reference/client-side-caching/).",
        ),
        peer(
            "bentocache", JavaScript("bentocache.mjs", Some("multitier")), Within(TTL),
            "Memory, Redis and the bus, as its page shows; `getOrSet`, and `delete` after a write.",
            "A message of the bus tells other processes that a record has ended, and is sent again later if that fails: \
             [multi-tier](https://bentocache.dev/docs/multi-tier). Grace is off.",
        ),
        peer(
            "bentocache, Redis only", JavaScript("bentocache.mjs", Some("redis")), NotFound,
            "One layer, so that no process keeps records, and errors are thrown.",
            "Nothing found about writes during a load: [multi-tier](https://bentocache.dev/docs/multi-tier).",
        ),
        peer(
            "cacheable", JavaScript("cacheable.mjs", None), Within(TTL),
            "Memory, Redis and `CacheableSync`; `getOrSet`, and `delete` after a write. If the connection of its message \
             provider is cut, the process ends.",
            "The memory of other instances is eventually consistent: [cacheable](https://github.com/jaredwray/cacheable).",
        ),
    ]
}
