//! Lookups of a `LoadingCache`: its loader can run on another thread than the caller's.
//!
//! Guarantees that a caller with a cached record waits for no load, except for up to the soft
//! timeout, and that any caller waits for at most the hard timeout. A load that outlives its caller
//! goes on, keeps its lease, and fills.
//!
//! There is no second read path. What runs on another thread is an ordinary lookup:
//!
//! - A **refresh** ([`refresh`]) is a lookup that is `Due`. It runs on a loader thread from there
//!   on, so its request for the lease delays nobody. A process has one refresh of a record at a
//!   time. Its lease makes it the only one among all processes.
//! - A **load** under a hard timeout ([`load`]) is a lookup that has the right to load. The caller
//!   asks for the lease itself, because only then is it known whether a load is needed. Then the
//!   lookup moves to a loader thread, with its lease and its followers, and the caller waits for
//!   the answer. Its thread was reserved before the lease, as a permit of a limit: so no lease
//!   waits for a thread, and a loader that hangs holds one thread and no more.
//!
//! Called by `LoadingCache`. Knows the threads only as [`pool`].

mod load;
mod pool;
mod refresh;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{load::OnThread, pool::LoaderPool};
use super::{
    first_read::FirstRead,
    load_turn::LoadTurn,
    loader::SharedLoader,
    lookup::LookupConfig,
    machine::PendingLookup,
    near_miss::{self, NearMiss},
    nested::is_nested,
    single::{LoadStep, drive_and_report, load_here},
};
use crate::{
    engine::Engine,
    error::Error,
    near::Accepts,
    outcome::Answer,
    telemetry::{event::Event, trace},
    util::{per_process::PerProcess, worker::contain_panic},
};

/// The settings of a `LoadingCache`, checked by its builder, which documents them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackgroundSettings {
    pub(crate) soft_timeout: Duration,
    pub(crate) hard_timeout: Option<Duration>,
    pub(crate) threads: usize,
}

/// The loader threads of one `LoadingCache` in this process, and what they run.
pub(crate) struct Background {
    engine: PerProcess<Engine>,
    loader: SharedLoader,
    settings: BackgroundSettings,
    pool: LoaderPool,
}

impl Background {
    /// Starts no thread.
    pub(crate) fn new(
        engine: PerProcess<Engine>,
        loader: SharedLoader,
        settings: BackgroundSettings,
    ) -> Background {
        Background {
            pool: LoaderPool::new(settings.threads),
            engine,
            loader,
            settings,
        }
    }

    /// See [`LoadingCache::get`](crate::LoadingCache::get). `began`: the clock, read when the
    /// lookup began.
    pub(crate) fn get(&self, id: &str, began: Instant) -> Result<Answer, Error> {
        let engine = self.engine.get_at(began);
        match near_miss::look(engine, id, (began, Accepts::Any), engine.tags_of(&[])) {
            Ok(answer) => Ok(answer),
            Err(missed) => self.get_from_store(engine, id, missed),
        }
    }

    /// Out of line, to keep the stack frame of a near hit small.
    #[inline(never)]
    fn get_from_store(
        &self,
        engine: &Engine,
        id: &str,
        missed: NearMiss<'_>,
    ) -> Result<Answer, Error> {
        let config = LookupConfig {
            hard_timeout: self.settings.hard_timeout,
            ..LookupConfig::of(&engine.settings)
        };
        let (context, data, read) = missed.read(engine, config, id)?;
        let read = match read {
            FirstRead::Hit(found) => return Ok(found),
            FirstRead::Due(cached) => match self.refresh(&context, &data, cached) {
                Ok(found) => return Ok(found),
                // There are no threads, so the caller refreshes the record.
                Err(cached) => FirstRead::Due(cached),
            },
            read => read,
        };
        let turn = match self.settings.hard_timeout {
            Some(hard) => LoadTurn::on_thread(&context, self.pool.loader_threads(), hard),
            None => LoadTurn::new(engine, context.config.wait_timeout),
        };
        let mut lookup = PendingLookup::new(context, &data, read);
        drive_and_report(&mut lookup, turn, &mut OnThread(self))?;
        Ok(lookup.into_answer().expect("it is done"))
    }

    /// Ends the threads: see [`LoadingCache::shutdown`](crate::LoadingCache::shutdown).
    pub(crate) fn shut_down(&self, timeout: Duration) -> bool {
        // A load of this thread may be one that the threads wait for.
        let timeout = if is_nested() { Duration::ZERO } else { timeout };
        let limit = self.engine.get().load_limit.as_ref();
        self.pool.stop(limit, timeout)
    }
}

/// The loader on a thread of the pool. A panic is an error of the load, because no caller is there
/// to whom it could go.
struct InBackground<'a>(&'a SharedLoader);

impl LoadStep for InBackground<'_> {
    fn load<'a>(
        &mut self,
        lookup: &mut PendingLookup<'a>,
        turn: &mut LoadTurn<'a>,
    ) -> Result<(), Error> {
        // Read under the lease. Whatever changes the record from here on ends the lease, so nothing
        // else is kept.
        let cached = self.0.sees_cached.then(|| lookup.read_cached()).flatten();
        load_here(lookup, turn, cached.clone(), |engine, id, floor| {
            let reporter = &engine.reporter;
            reporter.report(&Event::BackgroundLoad { id });
            let mut load = self.0.for_lookup(cached.as_ref());
            let outcome = contain_panic(|| load.run(engine, id, floor));
            outcome.unwrap_or_else(|| {
                trace::error!(
                    "cache `{}`: the loader panicked on a thread of the cache, for the record {id:?}",
                    reporter.cache
                );
                reporter.report(&Event::BackgroundPanicked { id });
                Err(panicked())
            })
        })
    }
}

/// The error of a load whose loader panicked on a thread of the pool.
fn panicked() -> Error {
    Error::Loader(Arc::new(LoaderPanicked))
}

#[derive(Debug, thiserror::Error)]
#[error("it panicked on a thread of the cache")]
struct LoaderPanicked;
