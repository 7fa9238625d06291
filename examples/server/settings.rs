//! The switches of the page, and the cache in use.
//!
//! Settings belong to a cache, so a switch builds a new cache on the same store. A request that is
//! under way finishes with the old cache. Both see the writes of each other.

use std::{mem, sync::Arc, time::Duration};

use cache_aside::{Backend, Cache, Error, LoadingCache, Lookup, Record};
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::{
    audit::{self, Reports},
    http::{Answer, Form},
    millis,
    primary::MockPrimaryStore,
    recording::Recording,
    routes::{Shop, stats},
};

/// More than the number of products.
const NEAR_CAPACITY: usize = 1_000;

/// The default of the library: repeated here because the page shows it.
const NEAR_STALENESS: Duration = Duration::from_secs(1);

/// The best value for many readers is 1. The page reads only five times a second: with 1, one record
/// in three would expire before its refresh; with 4, one in a hundred.
const BETA: f64 = 4.0;

/// Twice the default TTL: long enough to try things, short enough to see the end.
const GRACE: Duration = Duration::from_secs(60);

/// The features of a cache that can be switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the page"
)]
pub(crate) struct Settings {
    near_cache: bool,
    early_refresh: bool,
    grace: bool,
    background: bool,
    hard_timeout: bool,
    audit: bool,
}

/// The cache in use.
pub(crate) struct InUse {
    backend: Backend,
    ttl: Duration,
    primary: Arc<MockPrimaryStore>,
    /// What the audit has reported.
    pub(crate) reports: Reports,
    recording: Recording,
    /// Locked to read, and to build the next cache, which sends no request.
    now: RwLock<(Settings, LoadingCache)>,
}

impl InUse {
    /// Creates the cache with everything switched off.
    pub(crate) fn new(
        backend: Backend,
        ttl: Duration,
        primary: Arc<MockPrimaryStore>,
        recording: Recording,
    ) -> Result<InUse, Error> {
        let settings = Settings::default();
        let reports = Reports::default();
        let cache = settings.build(&backend, ttl, &primary, &reports, &recording)?;
        Ok(InUse {
            backend,
            ttl,
            primary,
            reports,
            recording,
            now: RwLock::new((settings, cache)),
        })
    }

    pub(crate) fn cache(&self) -> Cache {
        self.now.read().1.cache().clone()
    }

    /// Reads a product, on the thread of the request or through the threads of the cache.
    pub(crate) fn get(&self, id: &str) -> Result<Lookup<Record>, Error> {
        let (settings, loading) = self.now.read().clone();
        if settings.background || settings.hard_timeout {
            loading.get(id)
        } else {
            loading.cache().get(id, |id| self.primary.read(id))
        }
    }

    fn settings(&self) -> Settings {
        self.now.read().0
    }

    /// How long a record stays in the store.
    pub(crate) fn stay(&self) -> Duration {
        if self.settings().grace {
            self.ttl + GRACE
        } else {
            self.ttl
        }
    }

    /// Changes the settings. Returns whether the cache was replaced.
    fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<bool, Error> {
        // Dropped after the lock: the last handle on a cache ends its threads.
        let _last;
        let mut now = self.now.write();
        let before = now.0;
        let mut wanted = before;
        change(&mut wanted);
        if wanted != before {
            let (reports, recording) = (&self.reports, &self.recording);
            let next = wanted.build(&self.backend, self.ttl, &self.primary, reports, recording)?;
            self.reports.forget();
            _last = mem::replace(&mut *now, (wanted, next));
        }
        Ok(wanted != before)
    }
}

impl Settings {
    fn build(
        self,
        backend: &Backend,
        ttl: Duration,
        primary: &Arc<MockPrimaryStore>,
        reports: &Reports,
        recording: &Recording,
    ) -> Result<LoadingCache, Error> {
        let mut builder = Cache::builder(backend).prefix("cache:product:").ttl(ttl);
        if self.near_cache {
            builder = builder
                .near_cache(NEAR_CAPACITY)
                .near_staleness(NEAR_STALENESS);
        }
        if self.early_refresh {
            builder = builder.early_refresh(BETA);
        }
        if self.grace {
            builder = builder.grace(GRACE);
        }
        if self.audit {
            builder = builder
                .audit(audit::of_all_hits(primary, ttl))
                .observer(reports.clone());
        }
        let cache = recording.of(builder).build()?;
        let loader = Arc::clone(primary);
        let builder = LoadingCache::builder(&cache, move |id| loader.read(id));
        if self.hard_timeout {
            builder.hard_timeout(hard_timeout(primary)).build()
        } else {
            builder.build()
        }
    }
}

/// Half of what a load takes, so that each load is too late for its caller.
fn hard_timeout(primary: &MockPrimaryStore) -> Duration {
    (primary.latency() / 2).max(Duration::from_millis(1))
}

/// The state of the switches.
pub(crate) fn tell(shop: &Shop) -> Answer {
    Answer::json(&standing(shop))
}

fn standing(shop: &Shop) -> Value {
    let settings = shop.in_use.settings();
    json!({
        "near_cache": settings.near_cache,
        "early_refresh": settings.early_refresh,
        "grace": settings.grace,
        "background": settings.background,
        "hard_timeout": settings.hard_timeout,
        "audit": settings.audit,
        "primary_fails": shop.primary.fails(),
        "near_capacity": NEAR_CAPACITY,
        "near_staleness_s": NEAR_STALENESS.as_secs(),
        "beta": BETA,
        "grace_s": GRACE.as_secs(),
        "hard_timeout_ms": millis(hard_timeout(&shop.primary)),
    })
}

/// Sets the switches that the form names, and leaves the others as they are.
pub(crate) fn set(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let names = [
        "near_cache",
        "early_refresh",
        "grace",
        "background",
        "hard_timeout",
        "audit",
        "primary_fails",
    ];
    let mut all = [None; 7];
    for (value, name) in all.iter_mut().zip(names) {
        *value = switch(form, name)?;
    }
    if all.iter().all(Option::is_none) {
        let names = names.map(|name| format!("`{name}`")).join(", ");
        let error = format!("one of {names} must be there");
        return Err(Answer::error(400, error));
    }
    let [
        near_cache,
        early_refresh,
        grace,
        background,
        hard_timeout,
        audit,
        primary_fails,
    ] = all;
    let change = |settings: &mut Settings| {
        settings.near_cache = near_cache.unwrap_or(settings.near_cache);
        settings.early_refresh = early_refresh.unwrap_or(settings.early_refresh);
        settings.grace = grace.unwrap_or(settings.grace);
        settings.background = background.unwrap_or(settings.background);
        settings.hard_timeout = hard_timeout.unwrap_or(settings.hard_timeout);
        settings.audit = audit.unwrap_or(settings.audit);
    };
    let regraced = grace.is_some_and(|grace| grace != shop.in_use.settings().grace);
    if regraced {
        forget_all(shop);
    }
    let is_another = shop.in_use.change(change);
    let is_another = is_another.map_err(|error| Answer::error(500, format!("{error:#}")))?;
    if regraced {
        // This also removes records that were loaded in between.
        forget_all(shop);
    }
    if let Some(fails) = primary_fails {
        shop.primary.fail(fails);
    }
    if is_another {
        // The counters of the new cache start at zero, so these must too.
        shop.list.reset_stats();
        shop.primary.reset_reads();
    }
    let mut answer = standing(shop);
    answer["another_cache"] = is_another.into();
    answer["stats"] = stats(shop);
    Ok(Answer::json(&answer))
}

/// Invalidates all records. A cache computes freshness from the remaining TTL, which includes the
/// grace: with another grace the result would be wrong.
fn forget_all(shop: &Shop) {
    // If the store fails now, the invalidation is pending, and this process reads no old record.
    let _ = shop.in_use.cache().invalidate_many(shop.primary.ids());
}

fn switch(form: &Form, name: &str) -> Result<Option<bool>, Answer> {
    match form.get(name)? {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(_) => Err(Answer::error(400, format!("`{name}` must be on or off"))),
    }
}
