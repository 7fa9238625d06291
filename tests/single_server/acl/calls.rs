//! The requests of each call, on every path through its scripts that needs a permission of its own.
//!
//! The user `default` prepares the keys that a call finds. Otherwise the call would seem to need
//! more permissions.

use std::{convert::Infallible, time::Duration};

use cache_aside::{
    Cache, CacheBuilder, LoadContext, Loaded, Lookup, Record, Redis, RedisBuilder, Source,
    TtlRemaining,
};
use redis::{Connection, ToRedisArgs};

use crate::support::{
    Server,
    acl::{Denial, PREFIX, denials},
    has_recovered, load_loaf, load_nothing, loaf, until,
};

/// A renewal comes after a third of it.
const LEASE: Duration = Duration::from_millis(300);

/// Short enough for a test, long enough for a server that works.
const TIMEOUT: Duration = Duration::from_millis(200);

/// One call, as the guide names it. `None`: it did not do its work.
pub(crate) type Call = fn(&Stage) -> Option<()>;

pub(crate) const CALLS: [(&str, Call); 12] = [
    ("`build`", build),
    ("`get`", get),
    ("`invalidate`", invalidate),
    ("`clear`", clear),
    ("`expire`", expire),
    ("`write`", write),
    ("`update_field`", update_field),
    ("`update`", update),
    ("`ttl_remaining`", ttl_remaining),
    ("`get_fields`", get_fields),
    ("`near_cache`", near_cache),
    ("an outage", outage),
];

/// A server, and a user of it.
pub(crate) struct Stage<'a> {
    server: &'a Server,
    url: String,
    rule: Vec<String>,
}

impl Stage<'_> {
    /// An empty server with no script loaded, a user with these permissions, and no denial yet.
    pub(crate) fn new<'a>(server: &'a Server, rule: &[String], parameters: &str) -> Stage<'a> {
        server.expect_denials();
        let stage = Stage {
            server,
            url: format!("{}?user=least&pass=pw{parameters}", server.admin_url()),
            rule: rule.to_vec(),
        };
        stage.tell("FLUSHALL", &[""; 0]);
        stage.restrict();
        stage.tell("ACL", &["LOG", "RESET"]);
        stage
    }

    /// The user has the permissions of the rule, and the server knows no script.
    fn restrict(&self) {
        self.tell("SCRIPT", &["FLUSH"]);
        let user = ["SETUSER", "least", "reset", "on", ">pw"].map(str::to_owned);
        self.tell("ACL", &[&user, &self.rule[..]].concat());
    }

    /// A pool whose user loses all other permissions after `build`, which would miss some.
    fn built(&self, settings: impl FnOnce(RedisBuilder) -> RedisBuilder) -> Redis {
        self.tell("ACL", &["SETUSER", "least", "~*", "&*", "+@all"]);
        let redis = settings(self.redis()).build().unwrap();
        self.restrict();
        redis
    }

    pub(crate) fn denials(&self) -> Vec<Denial> {
        denials(&mut self.server.connect()).unwrap()
    }

    /// A connection of the user's own.
    pub(crate) fn connect(&self) -> Connection {
        let client = redis::Client::open(&*self.url).unwrap();
        client.get_connection().unwrap()
    }

    pub(crate) fn redis(&self) -> RedisBuilder {
        Redis::builder(&*self.url)
    }

    fn builder<R>(&self) -> CacheBuilder<R> {
        let cache = Cache::builder(self.built(|redis| redis)).prefix(PREFIX);
        // It need not wait once it has seen that there is a lease.
        let brief = Duration::from_millis(1);
        cache.lease_ttl(LEASE).poll(brief).wait_timeout(brief)
    }

    fn cache(&self) -> Cache {
        self.builder().build().unwrap()
    }

    fn tell(&self, command: &str, args: &[impl ToRedisArgs]) {
        let mut direct = self.server.connect();
        redis::cmd(command).arg(args).exec(&mut direct).unwrap();
    }

    fn put_record(&self, id: &str) {
        let key = format!("{PREFIX}{id}");
        for (name, value) in &loaf() {
            self.tell("HSET", &[&key, name, value]);
        }
        // No longer than the caches of these tests would give it.
        self.tell("EXPIRE", &[&key, "30"]);
    }

    /// The guard of two writers: of one that has died, and of one that lives.
    fn put_guard(&self, id: &str) {
        let key = format!("lock:{{{PREFIX}{id}}}");
        let nonce = "0".repeat(32);
        self.tell("HSET", &[&key, "nonce", &nonce]);
        let alive = "9999999999999:9999999999999";
        self.tell("HSET", &[&key, "dead", "1:1", "alive", alive]);
        self.tell("EXPIRE", &[&key, "60"]);
    }

    /// Waits for another call of a script. Where a command has been denied, there may be none.
    fn until_renewed(&self) {
        let before = self.scripts_called();
        until(|| self.scripts_called() > before || !self.denials().is_empty());
    }

    fn scripts_called(&self) -> u64 {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut self.server.connect())
            .unwrap();
        let calls = |line: &str| {
            let rest = line.strip_prefix("cmdstat_evalsha:calls=")?;
            rest.split(',').next()?.parse().ok()
        };
        stats.lines().find_map(calls).unwrap_or(0)
    }
}

fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}

fn build(stage: &Stage) -> Option<()> {
    stage.redis().build().ok().map(drop)
}

fn get(stage: &Stage) -> Option<()> {
    let (cache, other) = (stage.cache(), stage.cache());
    let loads = |id: &str, meanwhile: &dyn Fn()| {
        let found = cache.get(id, |id| {
            meanwhile();
            load_loaf(id)
        });
        holds(found.ok()?.source() == Source::Loaded)
    };
    loads("p-001", &|| stage.until_renewed())?;
    holds(cache.get("p-001", load_loaf).ok()?.is_hit())?;
    // With a hash tag of its own.
    loads("{shop}:p-001", &|| {})?;
    holds(cache.get("{shop}:p-001", load_loaf).ok()?.is_hit())?;
    // Another process meets the lease.
    loads("p-002", &|| drop(other.get("p-002", load_loaf)))?;
    holds(other.stats().degraded == 1 && other.stats().store_errors == 0)?;
    let nothing = cache.get("p-003", load_nothing).ok()?;
    holds(nothing.source() == Source::Loaded)?;
    stage.put_guard("p-004");
    loads("p-004", &|| {})?;
    // Its lease is lost.
    loads("p-005", &|| {
        stage.tell("DEL", &[format!("lock:{{{PREFIX}p-005}}")]);
        stage.until_renewed();
    })?;
    holds(cache.stats().refused_fills == 1 && cache.stats().store_errors == 0)?;
    let load = |ids: &[&str]| -> Result<Vec<(String, Record)>, Infallible> {
        Ok(ids[1..].iter().map(|&id| (id.to_owned(), loaf())).collect())
    };
    let found = cache.get_many(["p-001", "p-006", "p-007"], load).ok()?;
    let sources: Vec<_> = found.iter().map(Lookup::source).collect();
    holds(sources == [Source::Hit, Source::Loaded, Source::Loaded])?;
    refresh(stage)
}

/// Reloads a cached record, first without and then with success.
fn refresh(stage: &Stage) -> Option<()> {
    let grace = Duration::from_secs(600);
    let builder = || stage.builder().grace(grace).lease_ttl(LEASE);
    let (cache, patient): (Cache, Cache) = (
        builder().build().unwrap(),
        builder()
            .lease_ttl(grace)
            .max_load_time(grace)
            .build()
            .unwrap(),
    );
    // It lives for less than the grace.
    stage.put_record("p-006");
    let failed = cache.get("p-006", |_| Err::<Option<Record>, _>("no connection"));
    holds(failed.ok()?.refresh_error().is_some())?;
    // With the back-off in its place.
    stage.put_record("p-007");
    let failed = patient.get("p-007", |_| Err::<Option<Record>, _>("no connection"));
    holds(failed.ok()?.refresh_error().is_some())?;
    stage.tell("DEL", &[format!("{PREFIX}p-007")]);
    holds(cache.get("p-007", load_loaf).ok()?.source() == Source::Loaded)?;
    stage.put_record("p-008");
    holds(cache.get("p-008", load_loaf).ok()?.source() == Source::Refreshed)?;
    holds(cache.stats().store_errors == 0 && patient.stats().store_errors == 0)
}

fn invalidate(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    stage.put_record("p-001");
    stage.put_guard("p-001");
    holds(cache.invalidate("p-001").ok()?)?;
    // Where there is no guard.
    stage.put_record("p-002");
    holds(cache.invalidate("p-002").ok()?)?;
    stage.put_record("p-003");
    stage.put_guard("p-004");
    holds(cache.invalidate_many(["p-003", "p-004"]).ok()? == 1)
}

fn clear(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    stage.put_record("p-001");
    stage.put_guard("p-001");
    stage.put_record("p-002");
    stage.put_record("{shop}:p-003");
    holds(cache.clear().ok()? == 3)
}

fn expire(stage: &Stage) -> Option<()> {
    let grace = Duration::from_secs(1);
    let cache: Cache = stage.builder().grace(grace).build().unwrap();
    stage.put_record("p-001");
    stage.put_guard("p-001");
    holds(cache.expire("p-001").ok()?)?;
    stage.put_record("p-002");
    stage.tell(
        "HSET",
        &[&format!("{PREFIX}p-002"), "__cache_aside_not_found", "1"],
    );
    holds(cache.expire("p-002").ok()?)?;
    stage.put_record("p-003");
    stage.put_guard("p-004");
    holds(cache.expire_many(["p-003", "p-004"]).ok()? == 1)
}

fn write(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    let patient = stage.builder().lease_ttl(10 * LEASE).build().unwrap();
    stage.put_record("p-001");
    let written = |cache: &Cache, change: &dyn Fn() -> Option<()>| {
        let change = || Ok::<_, Infallible>(change());
        let written = cache.write("p-001", change).ok()?;
        holds(written.guard_error().is_none() && written.invalidation_error().is_none())?;
        written.into_value()
    };
    written(&cache, &|| {
        stage.until_renewed();
        // Its end makes the guard live for a shorter time.
        written(&patient, &|| Some(()))
    })?;
    let many = cache.write_many(["p-001", "p-002"], || Ok::<_, Infallible>(()));
    let many = many.ok()?;
    holds(many.guard_error().is_none() && many.deferred().is_empty())?;
    holds(cache.stats().store_errors == 0)
}

fn update_field(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    stage.put_record("p-001");
    holds(cache.update_field("p-001", "stock", "1").ok()?)?;
    stage.put_guard("p-001");
    holds(cache.update_field("p-001", "stock", "2").ok()?)?;
    // The marker of a record without fields is removed.
    stage.tell(
        "HSET",
        &[&format!("{PREFIX}p-001"), "__cache_aside_empty", "1"],
    );
    holds(cache.update_field("p-001", "stock", "3").ok()?)?;
    let grace = Duration::from_secs(1);
    let cache: Cache = stage.builder().grace(grace).build().unwrap();
    holds(cache.update_field("p-001", "stock", "4").ok()?)
}

fn update(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    stage.put_record("p-001");
    let rename = |_: &Record| Some(Record::from([("name", "Rye")]));
    holds(cache.update("p-001", rename).ok()?)?;
    stage.put_guard("p-001");
    holds(cache.update("p-001", |_| Some(loaf())).ok()?)?;
    let grace = Duration::from_secs(1);
    let cache: Cache = stage.builder().grace(grace).build().unwrap();
    holds(cache.update("p-001", rename).ok()?)
}

fn ttl_remaining(stage: &Stage) -> Option<()> {
    stage.put_record("p-001");
    let left = stage.cache().ttl_remaining("p-001").ok()?;
    holds(matches!(left, TtlRemaining::Left(_)))
}

fn get_fields(stage: &Stage) -> Option<()> {
    stage.put_record("p-001");
    let found = stage.cache().get_fields("p-001", &["stock"]).ok()??;
    holds(found.record()?.len() == 1)
}

/// Receives changes, and checks that it does. `get` needs more, which is its own row.
fn near_cache(stage: &Stage) -> Option<()> {
    let bound = Duration::from_millis(20);
    let cache = stage.builder().near_cache(10).near_staleness(bound);
    let cache: Cache = cache.build().ok()?;
    until(|| cache.stats().tracking_live || !stage.denials().is_empty());
    // Long enough that the server must have been asked again.
    std::thread::sleep(5 * bound);
    until(|| cache.stats().tracking_live || !stage.denials().is_empty());
    stage.put_record("p-001");
    let source = || Some(cache.get("p-001", load_loaf).ok()?.source());
    until(|| source() == Some(Source::Near) || !stage.denials().is_empty());
    holds(stage.denials().is_empty())
}

/// The probe, and the replay of a pending invalidation.
fn outage(stage: &Stage) -> Option<()> {
    let redis = stage.built(|redis| {
        let redis = redis.breaker_threshold(1);
        redis.io_timeout(TIMEOUT).connect_timeout(TIMEOUT)
    });
    let cache: Cache = Cache::builder(redis).prefix(PREFIX).build().unwrap();
    stage.put_guard("p-001");
    stage.server.freeze();
    let failed = [cache.invalidate("p-001"), cache.invalidate("p-002")];
    stage.server.thaw();
    holds(failed.iter().all(Result::is_err))?;
    until(|| has_recovered(&cache) || !stage.denials().is_empty());
    holds(has_recovered(&cache))
}

pub(crate) fn write_through(stage: &Stage) -> Option<()> {
    let cache = stage.cache();
    let other = stage.cache();
    stage.put_record("p-001");
    let through = |id: &str, meanwhile: &dyn Fn()| {
        let change = || {
            meanwhile();
            Ok::<_, Infallible>(((), Some(loaf())))
        };
        let written = cache.write_through(id, change).ok()?;
        holds(written.guard_error().is_none() && written.invalidation_error().is_none())?;
        Some(written.is_cached())
    };
    holds(through("p-001", &|| stage.until_renewed())?)?;
    holds(!through("p-001", &|| drop(other.invalidate("p-001")))?)?;
    holds(cache.stats().store_errors == 0)
}

/// Each call of a cache with versions.
pub(crate) fn versions(stage: &Stage) -> Option<()> {
    let grace = Duration::from_secs(600);
    let builder = stage.builder().versions(grace).grace(grace).ttl(grace);
    let cache: Cache = builder.build().unwrap();
    let load = |context: &LoadContext<'_>| {
        let version = if context.read_primary() { 9 } else { 1 };
        Ok::<_, Infallible>(Loaded::new(loaf()).version(version))
    };
    let loads = |id: &str| {
        let found = cache.options().get_with_context(id, load).ok()?;
        holds(matches!(found.source(), Source::Loaded | Source::Refreshed))
    };
    for id in ["p-001", "{shop}:p-001"] {
        loads(id)?;
        cache.invalidate_at(id, 7).ok()?;
        loads(id)?;
        cache.invalidate(id).ok()?;
        cache.invalidate_many([id]).ok()?;
        loads(id)?;
        cache.expire(id).ok()?;
        loads(id)?;
        cache.update_field(id, "stock", "1").ok()?;
        cache.update(id, |record| Some(record.clone())).ok()?;
        let during = || {
            loads(id);
            stage.until_renewed();
            Ok::<_, Infallible>(())
        };
        let written = cache.write(id, during).ok()?;
        holds(written.guard_error().is_none() && written.invalidation_error().is_none())?;
        let change = || Ok::<_, Infallible>(((), Loaded::new(loaf()).version(10)));
        holds(cache.write_through(id, change).ok()?.is_cached())?;
    }
    holds(cache.clear().ok()? == 2)?;
    holds(cache.stats().store_errors == 0)
}

/// Each call of a cache with tags.
pub(crate) fn tags(stage: &Stage) -> Option<()> {
    let builder = stage.builder().loader_tags(true).clear_by_tag(true);
    let cache: Cache = builder.build().unwrap();
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(loaf()).tags(["b"]));
    let tags = ["a"];
    let look_up = || {
        Some(
            cache
                .options()
                .tags(&tags)
                .get("p-001", load)
                .ok()?
                .source(),
        )
    };
    holds(look_up()? == Source::Loaded && look_up()? == Source::Hit)?;
    for tag in ["a", "b"] {
        cache.invalidate_tag(tag).ok()?;
        holds(look_up()? == Source::Loaded)?;
    }
    cache.clear().ok()?;
    let change = || Ok::<_, Infallible>(((), Some(loaf())));
    holds(cache.write_through("p-001", change).ok()?.is_cached())?;
    holds(cache.get("p-001", load_loaf).ok()?.is_hit())?;
    holds(cache.stats().store_errors == 0)
}
