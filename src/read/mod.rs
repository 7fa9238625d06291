//! The one read path.
//!
//! ```text
//! get ─ read ─┬─ a record: hit; where its time is over, or nearly: refresh ─┬─ acquired: load, fill
//!             │                                                           └─ taken: what is there
//!             ├─ none: acquire ─┬─ a record: somebody filled it meanwhile
//!             │        ↑        ├─ acquired: lead: load, tell the followers, fill or release
//!             │        │        ├─ held by T: a flight of this process? follow it : watch T, and wait
//!             │        │        └─ guarded under N: a flight of this process? follow it : load, and don't fill
//!             │        └──── abandoned, or the pause is over ────┘
//!             └─ Redis failed, here or above, or the wait took too long: degraded
//! ```
//!
//! Guarantees that a lookup which starts after an invalidation returned never gets what was there before:
//!
//! - A flight is found **by the token that Redis named**, never by the key. The invalidation ended the lease,
//!   so who comes after it is told another token, or none.
//!   A lease of another process has one *watcher* here: the first who hears of its token announces a flight
//!   under it and waits, the others follow that. What the watcher reads is right for all of them: each was
//!   told the token after it began, and a token that has been ended never comes back.
//!   The same holds for the nonce of a write guard: every write that ends while the guard stands gives it
//!   another one.
//! - A fill is refused unless its token still stands in the lease key.
//! - A load without Redis is shared only with lookups that began **before the load was announced**. No token
//!   vouches for it, and another process may have invalidated through a connection that works.
//!
//! The lease is the one of "Scaling Memcache at Facebook" (NSDI '13, section 3.2.1), the shared flight is
//! Go's `singleflight`.

pub(crate) mod acquired;
pub(crate) mod batch;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod miss;
pub(crate) mod near_hit;
pub(crate) mod refresh;
pub(crate) mod wait_for_lease;

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use self::{lookup::Asking, refresh::Cached};
use crate::{
    engine::{Inner, Look, freshness::State},
    error::Error,
    loaded::Loaded,
    near::Seat,
    outcome::{Lookup, Source},
    record::fields::from_fields,
    store::{Entry, keys::Keys},
    telemetry::{
        event::{Event, Miss},
        trace,
    },
};

pub(crate) use self::batch::{get_many, skip_many};
pub(crate) use self::lookup::Wishes;

/// See [`Cache::get`](crate::Cache::get). `wishes` is not called where what is kept near answers.
pub(crate) fn get<R, L, E, F>(
    inner: &Inner<R>,
    wishes: impl FnOnce() -> Wishes,
    id: &str,
    loader: F,
) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    let span = trace::lookup(&inner.settings.prefix, id);
    let began = Instant::now();
    match near_hit::look(inner, id, began) {
        Ok(record) => Ok(near_hit::found(inner, &span, id, record)),
        Err(seat) => ask(inner, wishes(), id, loader, (span, began, seat)),
    }
}

/// The same, where nothing near answers. Apart, so that a near hit doesn't make room for all of this.
#[inline(never)]
fn ask<R, L, E, F>(
    inner: &Inner<R>,
    wishes: Wishes,
    id: &str,
    loader: F,
    (span, began, seat): (trace::Lookup, Instant, Option<Seat<'_, R>>),
) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    let data = inner.data_key(id)?;
    let read = inner.first_look(&data, seat.is_some());
    let asking = Asking {
        inner,
        wishes,
        id,
        span,
        began,
        redis_latency: began.elapsed(),
    };
    let found = asking.look(data, read, seat, loading(id, loader));
    asking.reported(found)
}

/// See [`LookupOptions::skip_cache`](crate::LookupOptions::skip_cache).
pub(crate) fn skip<R, L, E, F>(inner: &Inner<R>, id: &str, loader: F) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    inner.data_key(id)?;
    let asking = Asking {
        inner,
        wishes: Wishes::of(&inner.settings),
        id,
        span: trace::lookup(&inner.settings.prefix, id),
        began: Instant::now(),
        redis_latency: Duration::ZERO,
    };
    let record = asking.run_uncached(loading(id, loader))?;
    asking.span.answered(Source::Loaded, record.is_some());
    Ok(Lookup::new(record, Source::Loaded, Duration::ZERO))
}

/// See [`Cache::peek`](crate::Cache::peek).
pub(crate) fn peek<R>(inner: &Inner<R>, id: &str) -> Result<Option<Lookup<R>>, Error>
where
    R: DeserializeOwned,
{
    let data = inner.data_key(id)?;
    let began = Instant::now();
    let (entry, left) = inner.first_look(&data, false)?;
    let redis_latency = began.elapsed();
    let Entry::Record(fields) = entry else {
        return Ok(None);
    };
    let Ok(record) = from_fields(fields) else {
        return Ok(None);
    };
    let is_stale = |left| inner.settings.freshness.is_stale(left);
    let source = match &record {
        Some(_) if left.is_some_and(is_stale) => Source::Stale,
        _ => Source::Hit,
    };
    let record = record.map(Arc::new);
    Ok(Some(Lookup::new(record, source, redis_latency)))
}

/// The loader, whatever it returns, as it is called.
fn loading<R, L, E, F>(id: &str, loader: F) -> impl FnOnce() -> Result<Loaded<R>, Error>
where
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    move || {
        let outcome = loader(id).map(L::into);
        outcome.map_err(|error| Error::Loader(Arc::from(error.into())))
    }
}

impl<R: Serialize + DeserializeOwned> Asking<'_, R> {
    /// The first look, and what follows from it.
    fn look(
        &self,
        data: String,
        read: Look,
        seat: Option<Seat<'_, R>>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        match self.seen(read, seat) {
            Seen::Hit(found) => Ok(found),
            Seen::Due(cached) => Ok(self.refresh(&Keys::of(data), cached, load)),
            Seen::Missed { look } => self.missed(&Keys::of(data), look, load),
            Seen::Unanswered(failure) => self.degraded(&data, load, failure),
        }
    }

    /// What the first look comes to. What is fresh takes the seat.
    fn seen(&self, read: Look, seat: Option<Seat<'_, R>>) -> Seen<R> {
        let missed = |reason| {
            let id = self.id;
            self.report(&Event::Missed { id, reason });
        };
        match read {
            Ok((Entry::Record(fields), left)) => {
                if let Ok(record) = self.inner.decode(self.id, fields) {
                    return self.there(record.map(Arc::new), left, seat);
                }
                missed(Miss::Unreadable);
                // No second look, it would find the same.
                Seen::Missed { look: false }
            }
            Ok((Entry::Absent, _)) => {
                missed(Miss::Absent);
                Seen::Missed { look: true }
            }
            Ok((Entry::Foreign, _)) => {
                self.report(&Event::Unreadable { id: self.id });
                missed(Miss::Unreadable);
                Seen::Missed { look: true }
            }
            Err(failure) => {
                missed(Miss::Unanswered);
                Seen::Unanswered(failure)
            }
        }
    }

    /// The first look found it: that is the answer, unless it should be loaded anew.
    fn there(
        &self,
        record: Option<Arc<R>>,
        left: Option<Duration>,
        seat: Option<Seat<'_, R>>,
    ) -> Seen<R> {
        let Some(left) = left else {
            return Seen::Hit(self.hit(record));
        };
        let (freshness, load_time) = (&self.inner.settings.freshness, self.inner.load_time.get());
        // That there is none is fresh as long as it is there.
        let mut fresh_for = left;
        if let Some(record) = &record {
            let state = freshness.of(left, load_time);
            if state != State::Fresh {
                return Seen::Due(Cached::new(Arc::clone(record), state, left));
            }
            fresh_for = freshness.fresh_for(left, load_time);
        }
        if let Some(seat) = seat {
            seat.fill(record.clone(), fresh_for);
        }
        Seen::Hit(self.hit(record))
    }

    /// The same, and an error is reported.
    fn reported(&self, found: Result<Lookup<R>, Error>) -> Result<Lookup<R>, Error> {
        found.inspect_err(|error| self.failed(error))
    }
}

/// What the first look came to.
enum Seen<R> {
    Hit(Lookup<R>),
    /// It should be loaded anew.
    Due(Cached<R>),
    /// There is no usable record. `look`: it is worth a second look.
    Missed {
        look: bool,
    },
    /// Redis is no help.
    Unanswered(Error),
}
