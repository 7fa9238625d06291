//! Rejects invalid settings by name.
//!
//! The range of each setting is checked before its relation to others, so that an error names the
//! setting that the program set.
//!
//! No user code runs under the lock of the logged prefixes: the line is logged after it.

use std::{collections::BTreeSet, time::Duration};

use crate::util::sync::Mutex;
use crate::{
    engine::{Settings, freshness::Freshness},
    error::Error,
    read::LookupConfig,
    store::{
        TagKeys,
        keys::{FLOOR_PREFIX, LEASE_PREFIX},
        tags::TAGS_PREFIX,
    },
    telemetry::trace,
    util::limits::{between, refuse, within},
};

/// A larger value refreshes on nearly every hit, so it is most likely a mistake.
const MOST_BETA: f64 = 1_000.0;

/// More entries than fit into the memory of most machines.
const MOST_NEAR: usize = 100_000_000;

/// A cache that accepts more staleness than this needs only a `ttl`.
const LONGEST_STALENESS: Duration = Duration::from_secs(60);

/// More threads than a process can have, so that a larger number is a mistake.
const MOST_LOADS: usize = 1_000_000;

/// A program with more prefixes than this creates them at run time. They must not fill its memory.
const MOST_WARNED: usize = 1_000;

pub(crate) fn all(settings: &Settings) -> Result<(), Error> {
    let Settings {
        prefix,
        also_invalidates,
        ttl,
        negative_ttl,
        lease_ttl,
        max_load_time,
        wait_timeout,
        poll,
        freshness,
        near_cache,
        near_ttl,
        near_staleness,
        versions,
        max_loads,
        load_queue_timeout,
        tag_namespace,
        ..
    } = settings;
    check_prefix("prefix", prefix)?;
    for other in also_invalidates {
        check_prefix("also_invalidates", other)?;
        if other == prefix {
            return refuse("also_invalidates", "it is the `prefix` itself");
        }
    }
    check_ttl(*ttl)?;
    let least = Duration::from_millis(1);
    if let Some(negative_ttl) = negative_ttl {
        between("negative_ttl", *negative_ttl, least)?;
    }
    check_freshness(freshness)?;
    between("lease_ttl", *lease_ttl, Duration::from_millis(10))?;
    between("max_load_time", *max_load_time, least)?;
    between("poll", *poll, least)?;
    between("wait_timeout", *wait_timeout, least)?;
    if *near_cache == Some(0) {
        return refuse("near_cache", "it must have room for one record at least");
    }
    if near_cache.is_some_and(|capacity| capacity > MOST_NEAR) {
        return refuse("near_cache", "it must be at most 100,000,000");
    }
    if let Some(near_ttl) = near_ttl {
        between("near_ttl", *near_ttl, least)?;
    }
    let least = Duration::from_millis(20);
    within("near_staleness", *near_staleness, least, LONGEST_STALENESS)?;
    if let Some(lag) = versions {
        between("versions", *lag, Duration::from_millis(1))?;
    }
    check_max_loads(*max_loads, *load_queue_timeout)?;
    if TagKeys::of(tag_namespace, &[]).is_none() {
        return refuse(
            "tag_namespace",
            "it must not be empty, and must not contain a `}`",
        );
    }
    check_relations(settings)
}

fn check_max_loads(most: Option<usize>, timeout: Option<Duration>) -> Result<(), Error> {
    if most == Some(0) {
        return refuse(
            "max_loads",
            "no record could ever be loaded; allow at least one",
        );
    }
    if most.is_some_and(|most| most > MOST_LOADS) {
        return refuse("max_loads", "it must be at most 1,000,000");
    }
    match (most, timeout) {
        (None, Some(_)) => refuse("load_queue_timeout", "there is no `max_loads`"),
        (_, Some(timeout)) => between("load_queue_timeout", timeout, Duration::ZERO),
        (_, None) => Ok(()),
    }
}

fn check_prefix(setting: &'static str, prefix: &str) -> Result<(), Error> {
    if prefix.is_empty() {
        return refuse(
            setting,
            "it must not be empty; set one that ends with a separator, like `cache:product:`",
        );
    }
    if prefix.trim_start_matches('{').is_empty() {
        // The lease key of `{a` would be that of `{{a}`.
        return refuse(setting, "it must hold something besides `{`");
    }
    for (reserved, reason) in [
        (LEASE_PREFIX, "keys that begin with `lock:` are the leases"),
        (FLOOR_PREFIX, "keys that begin with `floor:` are the floors"),
        (TAGS_PREFIX, "keys that begin with `tags:{` are the tags"),
    ] {
        // With the prefix `lo`, the id `ck:{lofoo}` would be the lease key of `foo`.
        if prefix.starts_with(reserved) || reserved.starts_with(prefix) {
            return refuse(setting, reason);
        }
    }
    Ok(())
}

fn check_relations(settings: &Settings) -> Result<(), Error> {
    let Settings {
        ttl,
        negative_ttl,
        lease_ttl,
        max_load_time,
        wait_timeout,
        poll,
        near_cache,
        near_ttl,
        ..
    } = settings;
    if let Some(negative_ttl) = negative_ttl
        && negative_ttl > ttl
    {
        return refuse(
            "negative_ttl",
            format!("{negative_ttl:?} is longer than the `ttl` of {ttl:?}"),
        );
    }
    if lease_ttl > max_load_time {
        if *max_load_time == Settings::MAX_LOAD_TIME {
            return refuse(
                "lease_ttl",
                format!("{lease_ttl:?} is longer than the `max_load_time` of {max_load_time:?}"),
            );
        }
        return refuse(
            "max_load_time",
            format!("{max_load_time:?} is shorter than one `lease_ttl` of {lease_ttl:?}"),
        );
    }
    if poll > wait_timeout && *wait_timeout == Settings::WAIT_TIMEOUT {
        return refuse(
            "poll",
            format!("{poll:?} is longer than the `wait_timeout` of {wait_timeout:?}"),
        );
    }
    check_wait_timeout(*wait_timeout, *poll)?;
    if near_ttl.is_some() && near_cache.is_none() {
        return refuse("near_ttl", "there is no `near_cache`");
    }
    Ok(())
}

/// Warns of a prefix without a separator at its end, because a key can then belong to two prefixes.
/// Each prefix is logged once in a process, even if several caches have it.
pub(crate) fn warn_of_prefix(prefix: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !prefix.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        return;
    }
    // Does not wait: this process may have been forked while a thread held the lock.
    let is_new = WARNED
        .try_lock()
        .is_none_or(|mut warned| warned.len() < MOST_WARNED && warned.insert(prefix.to_owned()));
    if is_new {
        trace::warn!(
            "the prefix `{prefix}` has no separator at its end, so keys may collide with those of a longer prefix: \
             write `{prefix}:`"
        );
    }
}

/// The settings that a lookup may override. Unlike a cache, a lookup may set them to zero: it then
/// caches nothing, does not wait, or accepts no cached record.
pub(crate) fn lookup(config: &LookupConfig, settings: &Settings) -> Result<(), Error> {
    if !config.ttl.is_zero() {
        check_ttl(config.ttl)?;
    }
    if !config.wait_timeout.is_zero() {
        check_wait_timeout(config.wait_timeout, settings.poll)?;
    }
    if let Some(max_age) = config.max_age.filter(|max_age| !max_age.is_zero()) {
        between("max_age", max_age, Duration::from_millis(1))?;
    }
    Ok(())
}

fn check_ttl(ttl: Duration) -> Result<(), Error> {
    between("ttl", ttl, Duration::from_millis(1))
}

fn check_wait_timeout(wait_timeout: Duration, poll: Duration) -> Result<(), Error> {
    if wait_timeout < poll {
        return refuse(
            "wait_timeout",
            format!("{wait_timeout:?} is shorter than one `poll` of {poll:?}"),
        );
    }
    between("wait_timeout", wait_timeout, poll)
}

fn check_freshness(freshness: &Freshness) -> Result<(), Error> {
    let Freshness {
        ttl_jitter,
        grace,
        early_refresh,
    } = freshness;
    if !(0.0..1.0).contains(ttl_jitter) {
        return refuse(
            "ttl_jitter",
            format!("{ttl_jitter} is no fraction; it must be at least 0 and less than 1"),
        );
    }
    if let Some(beta) = early_refresh
        && !(*beta > 0.0 && *beta <= MOST_BETA)
    {
        return refuse(
            "early_refresh",
            format!("{beta} is out of range; it must be above 0 and at most {MOST_BETA}"),
        );
    }
    if grace.is_zero() {
        return Ok(());
    }
    between("grace", *grace, Duration::from_millis(1))
}
