//! The one read path.
//!
//! ```text
//! get ─ read ─┬─ a record: hit
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

mod asking;
mod bell;
mod load;
mod missed;
mod near;

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use asking::Asking;

pub(crate) use asking::Wishes;

use crate::{
    answer::{Lookup, Source},
    error::Error,
    event::{Event, Miss},
    fields::from_fields,
    inner::Inner,
    key::Keys,
    loaded::Loaded,
    near::Seat,
    store::Entry,
    trace,
};

/// See [`Cache::get`](crate::Cache::get).
pub(crate) fn get<R, L, E, F>(
    inner: &Inner<R>,
    wishes: Wishes,
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
    match near::look(inner, id, began) {
        Ok(record) => Ok(near::found(inner, &span, id, record)),
        Err(seat) => ask(inner, wishes, id, loader, (span, began, seat)),
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
    // With a seat, also for how long it lives.
    let read = inner.ask_unless_owed(&data, "read", |store| match seat {
        None => store.read(&data).map(|entry| (entry, None)),
        Some(_) => store
            .read_with_ttl(&data)
            .map(|(entry, left)| (entry, left.left())),
    });
    let (read, left) = match read {
        Ok((entry, left)) => (Ok(entry), left),
        Err(failure) => (Err(failure), None),
    };
    let asking = Asking {
        inner,
        wishes,
        id,
        span,
        began,
        redis_latency: began.elapsed(),
    };
    let found = asking.look(data, read, seat.zip(left), loading(id, loader));
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
    let record = asking.run(loading(id, loader))?.record;
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
    let entry = inner.ask_unless_owed(&data, "read", |store| store.read(&data))?;
    let redis_latency = began.elapsed();
    let Entry::Record(fields) = entry else {
        return Ok(None);
    };
    let record = from_fields(fields).ok();
    Ok(record.map(|record| Lookup::new(record.map(Arc::new), Source::Hit, redis_latency)))
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
        read: Result<Entry, Error>,
        seat: Option<(Seat<'_, R>, Duration)>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let missed = |reason| {
            let id = self.id;
            self.report(&Event::Missed { id, reason });
        };
        let look = match read {
            Ok(Entry::Record(fields)) => {
                if let Ok(record) = self.inner.decode(self.id, fields) {
                    let record = record.map(Arc::new);
                    if let Some((seat, left)) = seat {
                        seat.fill(record.clone(), left);
                    }
                    return Ok(self.hit(record));
                }
                missed(Miss::Unreadable);
                // No second look, it would find the same.
                false
            }
            Ok(Entry::Absent) => {
                missed(Miss::Absent);
                true
            }
            Ok(Entry::Foreign) => {
                self.report(&Event::Unreadable { id: self.id });
                missed(Miss::Unreadable);
                true
            }
            Err(failure) => {
                missed(Miss::Unanswered);
                drop(seat);
                return self.degraded(&data, load, failure);
            }
        };
        // It is not what is loaded that goes there.
        drop(seat);
        self.missed(&Keys::of(data), look, load)
    }

    /// The same, and an error is reported.
    fn reported(&self, found: Result<Lookup<R>, Error>) -> Result<Lookup<R>, Error> {
        if let Err(error) = &found {
            self.report(&Event::Failed {
                id: self.id,
                error,
                took: self.began.elapsed(),
            });
        }
        found
    }
}
