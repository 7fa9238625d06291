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
    /// A stale read counts as announced if the newer version was written less than this before it
    /// began: a bound that the documentation of the library states.
    pub(crate) announced: Option<Duration>,
    /// How it is set up.
    pub(crate) setup: &'static str,
    /// What its documentation says about stale reads.
    pub(crate) says: &'static str,
}

/// How to start a worker.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// This program, as the worker of this name, for the crate of that name in the lock file.
    Rust(&'static str, Option<&'static str>),
    /// A file in `workers/`, with a mode.
    Python(&'static str, &'static str),
    JavaScript(&'static str, &'static str),
    /// Of the command line.
    Given(String),
}

impl Peer {
    /// A worker of the command line: `python3 my_worker.py`.
    pub(crate) fn given(command: &str) -> Peer {
        Peer {
            name: command.to_owned(),
            program: Program::Given(command.to_owned()),
            announced: None,
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
                command.arg(Path::new(folder).join(file)).arg(mode);
                command
            }
            Program::JavaScript(file, mode) => {
                let mut command = Command::new("node");
                command
                    .arg(installed.join("javascript").join(file))
                    .arg(mode);
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

    /// A mark for tables: the documentation announces stale reads.
    pub(crate) fn mark(&self) -> &'static str {
        if self.announced.is_some() { " †" } else { "" }
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
    let peer = |name: &str, program, announced, setup, says| Peer {
        name: name.to_owned(), program, announced, setup, says,
    };
    vec![
        peer(
            OURS, Program::Rust("cache-aside", Some("cache-aside")), None,
            "`get`, and `invalidate` after a write, with the default settings.",
            "No stale read after a write has returned: [Design](../src/guide/design.md).",
        ),
        peer(
            "cache-aside, near cache", Program::Rust("cache-aside-near", Some("cache-aside")),
            Some(Duration::from_secs(1)),
            "The same with `near_cache`, and its default `near_staleness` of 1 s.",
            "Another process may be late by `near_staleness`: [Near cache](../src/guide/near-cache.md).",
        ),
        peer(
            HELPER, Program::Rust("helper", None), Some(TTL),
            "The helper of Redis's documentation for the use case cache-aside, rewritten with its constants.",
            "Staleness is bounded by the TTL: \
             [Redis cache-aside](https://redis.io/docs/latest/develop/use-cases/cache-aside/redis-py/).",
        ),
        peer(
            "cached", Program::Rust("cached", Some("cached")), None,
            "`RedisCache`, in the calls of `#[concurrent_cached(redis = true)]`; `cache_delete` after a write.",
            "Nothing found about writes during a load: [cached](https://docs.rs/cached).",
        ),
        peer(
            "amalgam-cache", Program::Rust("amalgam", Some("amalgam-cache")), Some(TTL),
            "`BlockingCache` with Redis as store and backplane, and its memory in front; `remove` after a write.",
            "Missed notifications leave old data visible until it expires, and nodes are not linearizable: \
             [README](https://docs.rs/crate/amalgam-cache).",
        ),
        peer(
            "amalgam, strict", Program::Rust("amalgam-strict", Some("amalgam-cache")), Some(TTL),
            "The same with `strict()`, its distributed locker, no step in the background, and all errors reported.",
            "Fills are fenced by the lease. Independent nodes are not linearizable, as above.",
        ),
        peer(
            "moka before Redis", Program::Rust("moka", Some("moka")), Some(Duration::from_secs(1)),
            "By hand: a map of `moka` with a TTL of 1 s, then `GET`, load and `SET EX`; `DEL` and `invalidate` after a write.",
            "Other processes are late by the TTL of the map, which the program chooses: [moka](https://docs.rs/moka).",
        ),
        peer(
            "dogpile.cache", Program::Python("dogpile_cache.py", "default"), None,
            "A region on `dogpile.cache.redis`; `get_or_create`, and `delete` after a write. A lock in the process.",
            "Nothing found about writes during a load: \
             [usage](https://dogpilecache.sqlalchemy.org/en/latest/usage.html).",
        ),
        peer(
            "dogpile, distributed lock", Program::Python("dogpile_cache.py", "distributed"), None,
            "The same with `distributed_lock`, which its documentation advises for several processes.",
            "As above. The lock is about loads; `delete` does not take it.",
        ),
        peer(
            "redis-py, client cache", Program::Python("redis_py.py", "client-side"), Some(TTL),
            "Cache-aside by hand on `CacheConfig` and RESP3: `get`, load and `set`; `delete` after a write. Each thread has a \
             client: with one for all, requests ended in its timeout of 5 s.",
            "Replies and messages of the server may race, and a TTL is advised: \
             [client-side caching](https://redis.io/docs/latest/develop/reference/client-side-caching/).",
        ),
        peer(
            "bentocache", Program::JavaScript("bentocache.mjs", "multitier"), Some(TTL),
            "Memory, Redis and the bus, as its page shows; `getOrSet`, and `delete` after a write.",
            "With two layers, errors of Redis are suppressed, and a bus tells the other processes: \
             [options](https://bentocache.dev/docs/options). Grace is off.",
        ),
        peer(
            "bentocache, Redis only", Program::JavaScript("bentocache.mjs", "redis"), None,
            "One layer, so that no process keeps records, and errors are thrown.",
            "Nothing found about writes during a load: [multi-tier](https://bentocache.dev/docs/multi-tier).",
        ),
        peer(
            "cacheable", Program::JavaScript("cacheable.mjs", "sync"), Some(TTL),
            "Memory, Redis and `CacheableSync`; `getOrSet`, and `delete` after a write. If the connection of its message \
             provider is cut, the process ends.",
            "The memory of other instances is eventually consistent: [cacheable](https://github.com/jaredwray/cacheable).",
        ),
    ]
}
