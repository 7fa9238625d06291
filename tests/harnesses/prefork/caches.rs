//! The cache that the parent builds, and that all children inherit.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use cache_aside::{Cache, Error, Redis};

use crate::{
    audit::Reports,
    plan::Plan,
    recording::Recording,
    tags::Tagged,
    workers::{LEASE_TTL, NEAR_STALENESS},
};

/// Long, because a busy machine runs many processes. So a lookup is degraded only for a reason.
const TIMEOUT: Duration = Duration::from_secs(5);

static INHERITED: OnceLock<Cache> = OnceLock::new();

/// The cache of the workers, in any process. There are none for records under tags, no audit, and no
/// recording.
pub(crate) fn checked(
    plan: &Plan,
    _: &Arc<Reports>,
    _: &Recording,
) -> Result<(Cache, Option<Tagged>), String> {
    if let Some(cache) = INHERITED.get() {
        return Ok((cache.clone(), None));
    }
    let cache = build(plan).map_err(|error| format!("{error:#}"))?;
    Ok((INHERITED.get_or_init(|| cache).clone(), None))
}

/// Fewer connections than threads, so that requests are also sent together.
fn build(plan: &Plan) -> Result<Cache, Error> {
    let redis = Redis::builder(&plan.cache)
        .pool_size(plan.threads.div_ceil(2))
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
        .require_connection(true);
    let cache = Cache::builder(redis)
        .prefix("prefork:")
        .ttl(plan.life)
        .negative_ttl(plan.life / 2)
        .lease_ttl(LEASE_TTL)
        .wait_timeout(Duration::from_secs(1))
        .poll(Duration::from_millis(5))
        .near_staleness(NEAR_STALENESS);
    let cache = if plan.near {
        cache.near_cache(1000)
    } else {
        cache
    };
    cache.build()
}
