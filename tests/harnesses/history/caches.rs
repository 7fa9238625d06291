//! The caches of a run.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, CacheBuilder, Error, Record, Redis, RedisBuilder};

use crate::{
    audit::{LoadAside, Reports, with_audit},
    plan::{Plan, TIMEOUT},
    reader,
    recording::Recording,
    tags::{self, Tagged},
    workers::{LAG, LEASE_TTL, NEAR_STALENESS},
};

/// Long, because nodes are asked one after the other, and each may be slow while all start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The caches of one process, whose answers are checked.
pub(crate) fn checked(
    plan: &Plan,
    reports: &Arc<Reports>,
    recording: &Recording,
) -> Result<(Cache, Option<Tagged>), String> {
    patiently(|| build(plan, reports, recording))
}

/// The cache of a writer that is killed. Its guards last as long as by default, so that they do not
/// lapse before the commit on a busy machine.
pub(crate) fn of_a_killed_writer(plan: &Plan, recording: &Recording) -> Result<Cache, String> {
    let redis = redis(&plan.cache).pool_size(1);
    let cache = recording.of(Cache::builder(redis).prefix("history:"));
    cache.build().map_err(|error| format!("{error:#}"))
}

/// A cache that only observes.
#[cfg(feature = "cluster")]
pub(crate) fn onlooker(url: &str) -> Result<Cache, String> {
    patiently(|| {
        let redis = redis(url).pool_size(2);
        Cache::builder(redis).prefix("history:").build()
    })
}

fn patiently<T>(build: impl Fn() -> Result<T, Error>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match build() {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(format!("{error:#}")),
            Err(_) => thread::sleep(TIMEOUT),
        }
    }
}

fn redis(url: &str) -> RedisBuilder {
    Redis::builder(url)
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
        .probe_interval(Duration::from_millis(50))
        .require_connection(true)
}

/// Builds the caches, which share one client. The second part only in a run with tags.
fn build(
    plan: &Plan,
    reports: &Arc<Reports>,
    recording: &Recording,
) -> Result<(Cache, Option<Tagged>), Error> {
    let connections = match plan.process % 2 {
        0 => plan.threads.div_ceil(4),
        _ => plan.threads,
    };
    let redis = redis(&plan.cache)
        .pool_size(connections.min(16))
        .wait_for_replicas(plan.replicas)
        .build()?;
    let cache = |prefix: &str, load: LoadAside| {
        let cache = Cache::builder(&redis).prefix(prefix);
        let cache = recording.of(settings(plan, cache));
        with_audit(cache, plan, reports, load)
    };
    let tagged = || {
        let pages = cache("history:page:", tags::page)
            .loader_tags(true)
            .build()?;
        let reloaded = plan.grace.then(|| tags::reloaded(&pages, plan));
        Ok::<_, Error>(Tagged {
            lists: cache("history:list:", tags::list).build()?,
            shelves: cache("history:shelf:", tags::list)
                .clear_by_tag(true)
                .build()?,
            reloaded: reloaded.transpose()?,
            pages,
        })
    };
    let untagged = cache("history:", reader::load_aside).build()?;
    Ok((untagged, plan.tags.then(tagged).transpose()?))
}

/// Sets times so short that everything lapses or expires now and then. Processes differ. In every
/// second one, a lease is not renewed and lapses under a slow load, and threads share connections.
/// In every third one, an update keeps the TTL. They may also differ in their schema.
fn settings(plan: &Plan, cache: CacheBuilder<Record>) -> CacheBuilder<Record> {
    let max_load_time = match plan.process % 2 {
        0 => LEASE_TTL,
        _ => Duration::from_secs(1),
    };
    let cache = cache
        .ttl(plan.life)
        .negative_ttl(plan.life / 2)
        .lease_ttl(LEASE_TTL)
        .max_load_time(max_load_time)
        .wait_timeout(plan.wait_timeout)
        .poll(Duration::from_millis(5))
        .keep_ttl_on_update(plan.process.is_multiple_of(3))
        .near_staleness(NEAR_STALENESS);
    // Longer than a replica lags: a loader may take some time from the answer of Redis to its read.
    let cache = if plan.replica {
        cache.versions(LAG + LAG / 3)
    } else {
        cache
    };
    let cache = if plan.near {
        cache.near_cache(1000)
    } else {
        cache
    };
    let cache = match plan.schema {
        Some(number) => cache.schema(number),
        None => cache,
    };
    if plan.grace {
        let brief = Duration::from_millis(50);
        cache
            .ttl(brief)
            .negative_ttl(brief)
            .grace(plan.life.saturating_sub(brief))
            .early_refresh(1.0)
    } else {
        cache
    }
}
