//! The one read path: lookups of one id and of many go through the same states.
//!
//! ```text
//! first read -+- a record --------------> Done            (a hit)
//!             +- stale, or nearly ------> Due
//!             +- none, or too old ------> NeedsLease
//!             +- Redis failed ----------> Degraded
//!
//! Due         - refresh -+- acquired ---> Loading
//!                        +- taken ------> Done            (the cached record)
//! NeedsLease  - no turn to load yet ----> Done, or Following: see `load_queue`
//! NeedsLease  - acquire -+- a record ---> Done            (another caller filled it)
//!                        +- acquired ---> Loading
//!                        +- guarded ----> Loading, without a fill; or Following
//!                        +- held -------> Following, if this process has a call under that token
//!                        |                Held, if not
//!                        +- failed -----> Degraded
//! Held        - the lease changed ------> NeedsLease
//! Following   - the call ended ---------> Done, or NeedsLease if its leader gave up
//! Degraded    --------------------------> Loading, or Done with the outcome of another call
//! Loading     - the loader returned ----> Done
//! ```
//!
//! [`state`] has the states. [`machine`], [`refreshing`], [`waiting`] and [`loading`](mod@loading)
//! have the transitions. Two drivers send the requests: [`single`] for one id, [`batch`] for many.
//! With `max_loads`, [`load_turn`] and [`load_queue`] say when a lookup may ask for the lease, or
//! load without Redis. The public handle calls this module, which knows neither Redis nor the wire
//! format.
//!
//! A `LoadingCache` has a third way to drive a lookup: [`background`] moves it to a thread when it
//! is `Due`, or when it has the right to load.
//!
//! A cache with an audit has a thread that reads records aside, of a share of the hits: [`audit`].
//!
//! A lookup that starts after an invalidation returned never gets a record from before the
//! invalidation. Three rules guarantee that:
//!
//! - A call of this process is found **by the token that Redis named**, never by the key. The
//!   invalidation ended the lease, so a later lookup gets another token, or none.
//! - A fill is refused unless the lease key still holds its token.
//! - A load without Redis is shared only with lookups that began **before it was registered**. No
//!   token protects it, and another process may have invalidated through a connection that works.
//!
//! The first rule also covers leases of other processes. Such a lease has one *watcher* here. The
//! first lookup that gets its token registers a call under it and waits; the others follow that
//! call. The watcher's result is valid for all of them: each lookup got the token after it began,
//! and the token of an ended lease never returns. The same holds for the nonce of a write guard:
//! every write that ends while the guard exists gives it another nonce.
//!
//! A lookup with a `max_age` that finds a record too old asks for the lease, and names the time
//! that the record has left. Only a record with more time left answers it: that one was filled or
//! updated since. The watcher's result is valid for it too, unless the watcher did not look for a
//! record when it asked for the lease: there may have been one that is too old for a follower.
//!
//! On a cache with versions, the store names the *floor* of the record together with the right to
//! load. A record below it is not returned: see [`loader`]. A follower shares the load of a leader
//! that got the same token or nonce, and with it the same floor: a step that raises the floor also
//! ends the lease, or gives the guard another nonce.
//!
//! A lookup under *tags* reads their clock with its first read. It then has the clock from before
//! any load of its own. It names that clock with its request for the lease, and the fill stores it
//! in the entry. [`Engine::record_of`] decides for each entry that is read whether it is good for
//! the lookup.
//!
//! The lease comes from "Scaling Memcache at Facebook" (NSDI '13, section 3.2.1). The shared call
//! comes from Go's `singleflight`.

pub(crate) mod audit;
pub(crate) mod background;
mod batch;
mod first_read;
mod load;
mod load_queue;
mod load_turn;
pub(crate) mod loader;
mod loading;
mod lookup;
mod machine;
mod near_hit;
mod near_miss;
mod nested;
mod peek;
mod refresh;
mod refreshing;
mod single;
mod state;
mod wait_for_lease;
mod waiting;

use std::time::{Duration, Instant};

use self::{load_turn::LoadTurn, loader::DynLoader, near_miss::NearMiss, nested::WithinLoad};
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    error::Error,
    near::Accepts,
    outcome::{Answer, Source},
    store::Floor,
    telemetry::trace,
};

pub(crate) use self::batch::{get_many, loading as batch_loader, skip_many};
pub(crate) use self::lookup::LookupConfig;
pub(crate) use self::peek::{get_fields, peek, peek_many};

/// See [`Cache::get`](crate::Cache::get). If the near cache answers, `config` is not called.
/// `began`: the clock, read when the lookup began. `accepts`: which near entries may answer.
/// `tags`: those of the lookup, if it has any.
pub(crate) fn get(
    engine: &Engine,
    (began, accepts, tags): (Instant, Accepts, Option<Box<LookupTags>>),
    config: impl FnOnce() -> LookupConfig,
    id: &str,
    loader: &mut DynLoader<'_>,
) -> Result<Answer, Error> {
    match near_miss::look(engine, id, (began, accepts), tags) {
        Ok(answer) => Ok(answer),
        Err(missed) => get_from_store(engine, config(), id, loader, missed),
    }
}

/// Out of line, to keep the stack frame of a near hit small.
#[inline(never)]
fn get_from_store(
    engine: &Engine,
    config: LookupConfig,
    id: &str,
    loader: &mut DynLoader<'_>,
    missed: NearMiss<'_>,
) -> Result<Answer, Error> {
    let (context, data, read) = missed.read(engine, config, id)?;
    single::answer(context, &data, read, loader)
}

/// See [`LookupOptions::skip_cache`](crate::LookupOptions::skip_cache). `wait_timeout`: that of the
/// lookup.
pub(crate) fn skip(
    engine: &Engine,
    wait_timeout: Duration,
    id: &str,
    loader: &mut DynLoader<'_>,
) -> Result<Answer, Error> {
    engine.data_key(id)?;
    let span = trace::lookup(&engine.reporter.cache, id);
    let mut turn = LoadTurn::new(engine, wait_timeout);
    turn.start(id, None)?;
    let _within = WithinLoad::new();
    let record = loader.run(engine, id, Floor::Unknown)?.record;
    span.answered(Source::Loaded, record.is_some());
    Ok(Answer::new(record, Source::Loaded, Duration::ZERO))
}
