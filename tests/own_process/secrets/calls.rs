//! Every call of a cache, and so every request that the crate sends.

use std::{
    convert::Infallible,
    io,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Event, Lookup, Record, Redis};

use super::{
    CONTENT, FIELD, MS,
    output::{Search, Seen},
    record,
};

const LEASE_TTL: Duration = Duration::from_millis(150);

/// A load or a write of this length is renewed. Nothing tells when that was done.
const SLOW: Duration = Duration::from_millis(70);

/// A cache and its prefix. No other cache has the prefix, so it finds its lines in the log.
pub(super) struct Used {
    pub(super) cache: Cache,
    pub(super) prefix: String,
}

/// A cache on this server, with everything that sends requests: change stream, grace, leases that
/// are renewed.
pub(super) fn cache_on(seen: &Seen, redis: &Redis) -> Used {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("t{}:", COUNT.fetch_add(1, Relaxed));
    let notes = seen.clone();
    let observer = move |_: &str, event: &Event<'_>| {
        notes.debug("event", event);
        match event {
            Event::Degraded { cause: error, .. }
            | Event::Failed { error, .. }
            | Event::RefreshFailed { error, .. }
            | Event::StoreFailed { error, .. }
            | Event::BreakerOpened { error } => notes.error("event", *error),
            _ => {}
        }
    };
    let builder = Cache::<Record>::builder(redis).prefix(prefix.as_str());
    let builder = builder.near_cache(10).near_staleness(MS(100));
    let builder = builder.grace(MS(60_000)).lease_ttl(LEASE_TTL);
    let builder = builder.observer(observer);
    seen.debug("builder", &builder);
    let cache = builder.build().expect("it sends nothing");
    Used { cache, prefix }
}

/// Waits until the change stream is live, or is known not to be.
pub(super) fn wait_for_stream(used: &Used) {
    let lost = format!("prefix `{}`: the change stream is down", used.prefix);
    let until = Instant::now() + MS(3_000);
    let mut search = Search::default();
    while !used.cache.stats().tracking_live && !search.finds(&lost) && Instant::now() < until {
        thread::sleep(MS(10));
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it is a loader")]
fn load(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(record()))
}

fn load_slowly(id: &str) -> Result<Option<Record>, Infallible> {
    thread::sleep(SLOW);
    load(id)
}

fn fail(_: &str) -> io::Result<Option<Record>> {
    Err(io::Error::other("the primary is away"))
}

#[allow(clippy::unnecessary_wraps, reason = "it is a loader")]
fn load_many(ids: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    Ok(ids.iter().map(|id| ((*id).to_owned(), record())).collect())
}

fn fail_many(_: &[&str]) -> io::Result<Vec<(String, Record)>> {
    Err(io::Error::other("the primary is away"))
}

fn lookup(seen: &Seen, place: &str, found: &Lookup<Record>) {
    let errors = [found.degraded_cause(), found.refresh_error()];
    for error in errors.into_iter().flatten() {
        seen.error(place, error);
    }
}

/// Makes every call of a cache, and keeps all output except records. `put` writes a record past the
/// cache. Each call has ids of its own: while an invalidation is pending, no request is sent for a
/// lookup of its record.
pub(super) fn every_call(seen: &Seen, used: &Used, mut put: impl FnMut(&str)) {
    let Used { cache, prefix } = used;
    let mut put = |id: &str| put(&format!("{prefix}{id}"));
    lookups(seen, cache, &mut put);
    refreshes(seen, cache, &mut put);
    writes(seen, cache, &mut put);
    seen.debug("cache", cache);
    seen.debug("statistics", &cache.stats());
}

fn lookups(seen: &Seen, cache: &Cache, put: &mut impl FnMut(&str)) {
    let get = |place: &str, found| {
        let found: Option<Lookup<Record>> = seen.outcome(place, found);
        if let Some(found) = found {
            lookup(seen, place, &found);
        }
    };
    get("a miss", cache.get("a", load));
    put("b");
    get("a hit", cache.get("b", load));
    get("a near hit", cache.get("b", load));
    get("a slow load", cache.get("c", load_slowly));
    get("a failed load", cache.get("d", fail));
    let many = cache.get_many(["b", "e", "f"], load_many);
    let many = [many, cache.get_many(["g", "h"], fail_many)].map(|many| seen.outcome("many", many));
    for found in many.into_iter().flatten().flatten() {
        lookup(seen, "many", &found);
    }
    let peeked = seen.outcome("peek", cache.peek("b")).flatten();
    if let Some(found) = peeked {
        lookup(seen, "peek", &found);
    }
    let fields = seen
        .outcome("fields", cache.get_fields("b", &[FIELD]))
        .flatten();
    if let Some(found) = fields {
        lookup(seen, "fields", &found);
    }
    seen.outcome("many peeked", cache.peek_many(["b", "e"]).map(drop));
    seen.outcome("ttl", cache.ttl_remaining("b"));
}

/// A record that was expired is stale, and so the next lookup asks for its lease.
fn refreshes(seen: &Seen, cache: &Cache, put: &mut impl FnMut(&str)) {
    for id in ["i", "j", "k", "l"] {
        put(id);
        seen.outcome("expire", cache.expire(id));
    }
    let refreshed = [
        cache.get("i", load).ok(),
        seen.outcome("refresh", cache.get("j", fail)),
    ];
    let many = [
        seen.outcome("refresh", cache.get_many(["k"], load_many)),
        seen.outcome("refresh", cache.get_many(["l"], fail_many)),
    ];
    let many = many.into_iter().flatten().flatten();
    for found in refreshed.into_iter().flatten().chain(many) {
        lookup(seen, "refresh", &found);
    }
}

fn writes(seen: &Seen, cache: &Cache, put: &mut impl FnMut(&str)) {
    for id in ["m", "n", "o", "p", "q", "r", "s"] {
        put(id);
    }
    seen.outcome("update_field", cache.update_field("m", FIELD, CONTENT));
    let change = |old: &Record| {
        let mut new = old.clone();
        new.insert(FIELD, format!("{CONTENT} changed"));
        new.remove("version");
        Some(new)
    };
    seen.outcome("update", cache.update("n", change));
    let write_slowly = || {
        thread::sleep(SLOW);
        Ok::<_, Infallible>(())
    };
    if let Some(written) = seen.outcome("write", cache.write("o", write_slowly)) {
        let errors = [written.guard_error(), written.invalidation_error()];
        for error in errors.into_iter().flatten() {
            seen.error("write", error);
        }
    }
    let failed = cache.write("p", || {
        Err::<(), _>(io::Error::other("the primary is away"))
    });
    seen.outcome("a failed write", failed);
    seen.outcome("invalidate", cache.invalidate("q"));
    seen.outcome("expire_many", cache.expire_many(["u", "v"]));
    seen.outcome("invalidate_many", cache.invalidate_many(["r", "s", "t"]));
    let load = |_: &str| Ok::<_, Infallible>(Some(record()));
    let tags = ["tag"];
    let under_tags = cache.options().tags(&tags).get("w", load);
    if let Some(found) = seen.outcome("tags", under_tags) {
        lookup(seen, "tags", &found);
    }
    seen.outcome("invalidate_tag", cache.invalidate_tag("tag"));
    seen.outcome("clear", cache.clear());
}
