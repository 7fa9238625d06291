//! The caller's loader of one record, and the floor that its answer must not be below.
//!
//! Guarantees that a record below the floor of its lookup is neither returned nor cached. The
//! loader is called once more and told to read the primary; then the lookup fails. Called by the
//! driver for one id, and by a lookup that skips the cache.

use std::{error::Error as StdError, sync::Arc};

use super::load::run_one;
use crate::{
    engine::Engine,
    error::Error,
    loaded::{LoadContext, Loaded},
    record::any::AnyRecord,
    store::Floor,
    telemetry::event::Event,
};

/// A loader of one record, with the types of this module.
pub(crate) struct Loader<F: ?Sized> {
    /// Whether it may be called again. A loader that may not sees no context, so it is the caller's
    /// promise that it reads the primary.
    repeats: bool,
    /// Whether it may say that the cached record has not changed, because it sees that record.
    sees_cached: bool,
    /// The last field, so that a reference to a loader can become one to a [`DynLoader`].
    load: F,
}

/// A loader of any type. With it, the read path is compiled once, and not once for each call.
pub(crate) type DynLoader<'a> =
    Loader<dyn FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error> + 'a>;

impl<F: ?Sized> Loader<F> {
    pub(super) fn run(
        &mut self,
        engine: &Engine,
        id: &str,
        floor: Floor,
    ) -> Result<Loaded<AnyRecord>, Error>
    where
        F: FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error>,
    {
        let read_primary = engine.settings.versions.is_none() || floor == Floor::Unknown;
        let min_version = floor.min_version();
        let context = LoadContext::new(id, min_version, read_primary);
        let sees_cached = self.sees_cached;
        let loaded = run_one(engine, id, || checked((self.load)(&context), sees_cached))?;
        let Some(min_version) = min_version else {
            return Ok(loaded);
        };
        if !is_below(min_version, &loaded, !self.repeats) {
            return Ok(loaded);
        }
        report(engine, id, &loaded, min_version);
        let loaded = if self.repeats {
            let context = LoadContext::new(id, Some(min_version), true);
            run_one(engine, id, || checked((self.load)(&context), sees_cached))?
        } else {
            loaded
        };
        match loaded.version {
            Some(version) if version < min_version => Err(Error::StaleLoad {
                version,
                min_version,
            }),
            _ => Ok(loaded),
        }
    }
}

/// Whether a replica may have returned this before it had a write.
fn is_below(min_version: u64, loaded: &Loaded<AnyRecord>, is_from_primary: bool) -> bool {
    match loaded.version {
        Some(version) => version < min_version,
        // A row that the replica does not have yet has no version.
        None => loaded.record.is_none() && !loaded.is_unchanged && !is_from_primary,
    }
}

fn report(engine: &Engine, id: &str, loaded: &Loaded<AnyRecord>, min_version: u64) {
    let version = loaded.version;
    engine.reporter.report(&Event::StaleLoad {
        id,
        version,
        min_version,
    });
}

/// Refuses that nothing has changed from a loader that has seen nothing.
fn checked(
    loaded: Result<Loaded<AnyRecord>, Error>,
    sees_cached: bool,
) -> Result<Loaded<AnyRecord>, Error> {
    match loaded {
        Ok(Loaded {
            is_unchanged: true, ..
        }) if !sees_cached => Err(Error::Loader(Arc::new(NothingCached))),
        loaded => loaded,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it returned `Loaded::unchanged` and had got no cached record")]
struct NothingCached;

/// A loader that runs once, and sees only the id.
pub(crate) fn once<R, L, E>(
    loader: impl FnOnce(&str) -> Result<L, E>,
) -> Loader<impl FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error>>
where
    R: Send + Sync + 'static,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut loader = Some(loader);
    Loader {
        repeats: false,
        sees_cached: false,
        load: move |context: &LoadContext<'_>| {
            let loader = loader.take().expect("it is not repeated");
            converted::<R, _, _>(loader(context.id()))
        },
    }
}

/// A loader that sees the context, and may run twice.
pub(crate) fn with_context<R, L, E>(
    mut loader: impl FnMut(&LoadContext<'_>) -> Result<L, E>,
) -> Loader<impl FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error>>
where
    R: Send + Sync + 'static,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    Loader {
        repeats: true,
        sees_cached: false,
        load: move |context: &LoadContext<'_>| converted::<R, _, _>(loader(context)),
    }
}

fn converted<R, L, E>(outcome: Result<L, E>) -> Result<Loaded<AnyRecord>, Error>
where
    R: Send + Sync + 'static,
    L: Into<Loaded<R>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let outcome = outcome.map(|loaded| loaded.into().of_any());
    outcome.map_err(|error| Error::Loader(Arc::from(error.into())))
}

/// A loader that belongs to the cache, so that any thread may run it.
#[derive(Clone)]
pub(crate) struct SharedLoader {
    load: Arc<SharedLoad>,
    repeats: bool,
    /// Whether it wants the cached record at a reload.
    pub(super) sees_cached: bool,
}

/// The record: what is cached at a reload.
type SharedLoad =
    dyn Fn(&LoadContext<'_>, Option<&AnyRecord>) -> Result<Loaded<AnyRecord>, Error> + Send + Sync;

impl SharedLoader {
    /// A loader that sees only the id.
    pub(crate) fn of_id<R, E>(
        loader: impl Fn(&str) -> Result<Option<R>, E> + Send + Sync + 'static,
    ) -> SharedLoader
    where
        R: Send + Sync + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        SharedLoader {
            load: Arc::new(move |context, _| converted::<R, _, _>(loader(context.id()))),
            repeats: false,
            sees_cached: false,
        }
    }

    /// A loader that sees the context.
    pub(crate) fn of_context<R, L, E>(
        loader: impl Fn(&LoadContext<'_>) -> Result<L, E> + Send + Sync + 'static,
    ) -> SharedLoader
    where
        R: Send + Sync + 'static,
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        SharedLoader {
            load: Arc::new(move |context, _| converted::<R, _, _>(loader(context))),
            repeats: true,
            sees_cached: false,
        }
    }

    /// A loader that sees the context and, at a reload, the cached record.
    pub(crate) fn of_cached<R, L, E>(
        loader: impl Fn(&LoadContext<'_>, Option<&R>) -> Result<L, E> + Send + Sync + 'static,
    ) -> SharedLoader
    where
        R: Send + Sync + 'static,
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        SharedLoader {
            load: Arc::new(move |context, cached| {
                converted::<R, _, _>(loader(context, cached.map(AnyRecord::get)))
            }),
            repeats: true,
            sees_cached: true,
        }
    }

    /// Loads a record for no lookup: it is neither reported nor cached. A loader that sees the
    /// context must read the primary.
    pub(super) fn load_aside(&self, id: &str) -> Result<Option<AnyRecord>, Error> {
        let context = LoadContext::new(id, None, true);
        let loaded = checked((self.load)(&context, None), false)?;
        Ok(loaded.record)
    }

    /// The loader of one lookup. `cached`: the record that it may say has not changed.
    pub(super) fn for_lookup<'a>(
        &'a self,
        cached: Option<&'a AnyRecord>,
    ) -> Loader<impl FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error> + 'a> {
        Loader {
            repeats: self.repeats,
            sees_cached: cached.is_some(),
            load: move |context: &LoadContext<'_>| (self.load)(context, cached),
        }
    }
}
