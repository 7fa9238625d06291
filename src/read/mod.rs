//! The one read path.
//!
//! ```text
//! get ─ read ─┬─ a record: hit; where its time is over, or nearly: refresh ─┬─ acquired: load, fill
//!             │                                                           └─ taken: what is there
//!             ├─ none: acquire ─┬─ a record: somebody filled it meanwhile
//!             │        ↑        ├─ acquired: lead: load, tell the followers, fill or release
//!             │        │        ├─ held by T: a call of this process? follow it : watch T, and wait
//!             │        │        └─ guarded under N: a call of this process? follow it : load, and don't fill
//!             │        └──── abandoned, or the pause is over ────┘
//!             └─ Redis failed, here or above, or the wait took too long: degraded
//! ```
//!
//! Guarantees that a lookup which starts after an invalidation returned never gets what was there before:
//!
//! - A call is found **by the token that Redis named**, never by the key. The invalidation ended the lease,
//!   so who comes after it is told another token, or none.
//!   A lease of another process has one *watcher* here: the first who hears of its token announces a call
//!   under it and waits, the others follow that. What the watcher reads is right for all of them: each was
//!   told the token after it began, and a token that has been ended never comes back.
//!   The same holds for the nonce of a write guard: every write that ends while the guard stands gives it
//!   another one.
//! - A fill is refused unless its token still stands in the lease key.
//! - A load without Redis is shared only with lookups that began **before the load was announced**. No token
//!   vouches for it, and another process may have invalidated through a connection that works.
//!
//! The lease is the one of "Scaling Memcache at Facebook" (NSDI '13, section 3.2.1), the shared call is
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

use self::{lookup::LookupContext, refresh::Cached};
use crate::{
    engine::{Engine, FirstReadResult, freshness::State},
    error::Error,
    loaded::Loaded,
    near::Placeholder,
    outcome::{Lookup, Source},
    record::fields::from_fields,
    store::{Entry, keys::Keys},
    telemetry::{
        event::{Event, Miss},
        trace,
    },
};

pub(crate) use self::batch::{get_many, skip_many};
pub(crate) use self::lookup::LookupConfig;

/// See [`Cache::get`](crate::Cache::get). `config` is not called where what is kept near answers.
pub(crate) fn get<R, L, E, F>(
    engine: &Engine<R>,
    config: impl FnOnce() -> LookupConfig,
    id: &str,
    loader: F,
) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    let span = trace::lookup(&engine.settings.prefix, id);
    let began = Instant::now();
    match near_hit::look(engine, id, began) {
        Ok(record) => Ok(near_hit::found(engine, &span, id, record)),
        Err(placeholder) => ask(engine, config(), id, loader, (span, began, placeholder)),
    }
}

/// The same, where nothing near answers. Apart, so that a near hit doesn't make room for all of this.
#[inline(never)]
fn ask<R, L, E, F>(
    engine: &Engine<R>,
    config: LookupConfig,
    id: &str,
    loader: F,
    (span, began, placeholder): (trace::LookupSpan, Instant, Option<Placeholder<'_, R>>),
) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    let data = engine.data_key(id)?;
    let read = engine.first_read(&data, placeholder.is_some());
    let context = LookupContext {
        engine,
        config,
        id,
        span,
        began,
        redis_latency: began.elapsed(),
    };
    let found = context.resolve(data, read, placeholder, loading(id, loader));
    context.reported(found)
}

/// See [`LookupOptions::skip_cache`](crate::LookupOptions::skip_cache).
pub(crate) fn skip<R, L, E, F>(engine: &Engine<R>, id: &str, loader: F) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<L, E>,
{
    engine.data_key(id)?;
    let context = LookupContext {
        engine,
        config: LookupConfig::of(&engine.settings),
        id,
        span: trace::lookup(&engine.settings.prefix, id),
        began: Instant::now(),
        redis_latency: Duration::ZERO,
    };
    let record = context.run_uncached(loading(id, loader))?;
    context.span.answered(Source::Loaded, record.is_some());
    Ok(Lookup::new(record, Source::Loaded, Duration::ZERO))
}

/// See [`Cache::peek`](crate::Cache::peek).
pub(crate) fn peek<R>(engine: &Engine<R>, id: &str) -> Result<Option<Lookup<R>>, Error>
where
    R: DeserializeOwned,
{
    let data = engine.data_key(id)?;
    let began = Instant::now();
    let (entry, left) = engine.first_read(&data, false)?;
    let redis_latency = began.elapsed();
    let Entry::Record(fields) = entry else {
        return Ok(None);
    };
    let Ok(record) = from_fields(fields) else {
        return Ok(None);
    };
    let is_stale = |left| engine.settings.freshness.is_stale(left);
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

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// The first look, and what follows from it.
    fn resolve(
        &self,
        data: String,
        read: FirstReadResult,
        placeholder: Option<Placeholder<'_, R>>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        match self.first_read(read, placeholder) {
            FirstRead::Hit(found) => Ok(found),
            FirstRead::Due(cached) => Ok(self.refresh(&Keys::of(data), cached, load)),
            FirstRead::Missed { recheck } => self.missed(&Keys::of(data), recheck, load),
            FirstRead::Unanswered(failure) => self.degraded(&data, load, failure),
        }
    }

    /// What the first look comes to. What is fresh takes the placeholder.
    fn first_read(
        &self,
        read: FirstReadResult,
        placeholder: Option<Placeholder<'_, R>>,
    ) -> FirstRead<R> {
        let missed = |reason| {
            let id = self.id;
            self.report(&Event::Missed { id, reason });
        };
        match read {
            Ok((Entry::Record(fields), left)) => {
                if let Ok(record) = self.engine.decode(self.id, fields) {
                    return self.on_found(record.map(Arc::new), left, placeholder);
                }
                missed(Miss::Unreadable);
                // No second look, it would find the same.
                FirstRead::Missed { recheck: false }
            }
            Ok((Entry::Absent, _)) => {
                missed(Miss::Absent);
                FirstRead::Missed { recheck: true }
            }
            Ok((Entry::WrongType, _)) => {
                self.report(&Event::Unreadable { id: self.id });
                missed(Miss::Unreadable);
                FirstRead::Missed { recheck: true }
            }
            Err(failure) => {
                missed(Miss::Unanswered);
                FirstRead::Unanswered(failure)
            }
        }
    }

    /// The first look found it: that is the answer, unless it should be loaded anew.
    fn on_found(
        &self,
        record: Option<Arc<R>>,
        left: Option<Duration>,
        placeholder: Option<Placeholder<'_, R>>,
    ) -> FirstRead<R> {
        let Some(left) = left else {
            return FirstRead::Hit(self.hit(record));
        };
        let (freshness, load_time) = (&self.engine.settings.freshness, self.engine.load_time.get());
        // That there is none is fresh as long as it is there.
        let mut fresh_for = left;
        if let Some(record) = &record {
            let state = freshness.of(left, load_time);
            if state != State::Fresh {
                return FirstRead::Due(Cached::new(Arc::clone(record), state, left));
            }
            fresh_for = freshness.fresh_for(left, load_time);
        }
        if let Some(placeholder) = placeholder {
            placeholder.fill(record.clone(), fresh_for);
        }
        FirstRead::Hit(self.hit(record))
    }

    /// The same, and an error is reported.
    fn reported(&self, found: Result<Lookup<R>, Error>) -> Result<Lookup<R>, Error> {
        found.inspect_err(|error| self.failed(error))
    }
}

/// What the first look came to.
enum FirstRead<R> {
    Hit(Lookup<R>),
    /// It should be loaded anew.
    Due(Cached<R>),
    /// There is no usable record. `look`: it is worth a second look.
    Missed {
        recheck: bool,
    },
    /// Redis is no help.
    Unanswered(Error),
}
