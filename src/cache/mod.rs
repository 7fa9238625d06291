//! `Cache`: the handle that a program holds.

// The documentation shows the calls in the order of these groups: `get` comes first.
mod lookups;

pub(crate) mod audit;
pub(crate) mod builder;
pub(crate) mod loading;
pub(crate) mod many;

mod clear;
pub(crate) mod options;
mod outbox;
mod tags;
pub(crate) mod unit_of_work;
pub(crate) mod validate;
mod versions;
pub(crate) mod writes;

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use self::audit::Audit;
use crate::{
    backend::SharedClient,
    engine::{Engine, Settings, record_type::RecordType},
    error::Error,
    read::audit::Auditor,
    record::Record,
    telemetry::{event::Observer, stats::Stats},
    util::{id::Id, per_process::PerProcess},
};

/// A cache in front of a slow primary store, for records of one type.
///
/// A clone is cheap and shares everything: pool, loads in progress, counters. Give each thread a
/// clone or a reference. After a `fork`, the child continues with the same handle: it gets
/// connections, threads and counters of its own, and shares only Redis with its parent.
///
/// `R` is the type of the records: [`Record`], or any flat type of your own. It may be a struct or
/// a map that implements serde's `Serialize` and `DeserializeOwned`:
///
/// | in Rust | in the hash |
/// |---|---|
/// | `String` and similar types, `char` | the text |
/// | an enum without contents | the name of its variant |
/// | integers, floats, `bool` | as Rust prints them: `-7`, `0.1`, `inf`, `true` (1) |
/// | bytes, through `serde_bytes` | the bytes |
/// | `Option<T>` | as `T`; the field is left out for `None` |
/// | a newtype, `Box<T>`, `Cow<T>` | as its content |
/// | a list, tuple, map, struct or enum with contents in a field | not cached (2) |
/// | any other type as a record | not cached (2) |
///
/// 1. Exact, except for the sign and payload of a NaN.
/// 2. With the feature `json`, `as_json` stores a field as JSON, and `Json<R>` the whole record as
///    one field.
///
/// A loaded record is decoded again from its fields before it is stored. It is not cached if the
/// result would differ:
///
/// - numbers in an `untagged` or `flatten`ed type, or in an enum with a `tag`: a hash does not
///   distinguish numbers from text,
/// - `None` in a map, or where a `default` would replace it; `Some(None)`,
/// - two fields with one name.
///
/// A record with a field name that begins with `__cache_aside` is not cached. A record that has
/// nothing to store, such as an empty map, is cached as a hash with the field
/// `__cache_aside_empty`.
///
/// A record that cannot be cached is returned as the loader gave it, and is loaded each time.
/// [`unstorable_records`](Stats::unstorable_records) counts it.
/// [`Event::Unstorable`](crate::Event::Unstorable) names the field and the reason. The log has one
/// line for each such field.
///
/// ```no_run
/// use std::convert::Infallible;
///
/// use cache_aside::Cache;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Product {
///     name: String,
///     price_cents: u32,
///     discount: Option<f64>,
/// }
///
/// let cache: Cache<Product> =
///     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
/// let found = cache.get("p-001", |_id| {
///     Ok::<_, Infallible>(Some(Product {
///         name: "Sourdough Loaf".into(),
///         price_cents: 650,
///         discount: None,
///     }))
/// })?;
/// assert_eq!(found.record().unwrap().price_cents, 650);
/// # Ok::<_, cache_aside::Error>(())
/// ```
pub struct Cache<R = Record> {
    engine: PerProcess<Engine>,
    /// What the engine knows as [`AnyRecord`](crate::record::any::AnyRecord) is an `R`.
    record_type: PhantomData<fn() -> R>,
}

impl<R> Cache<R> {
    pub(crate) fn new(
        settings: Settings,
        client: SharedClient,
        observer: Option<Arc<dyn Observer>>,
        audit: Option<Audit<R>>,
    ) -> Result<Cache<R>, Error>
    where
        R: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let here = Arc::clone(client.get());
        let auditor = audit.map(Audit::auditor);
        let queue = {
            let auditor = auditor.clone();
            move || auditor.as_ref().map(Auditor::queue)
        };
        let engine = Engine::new(
            settings.clone(),
            here,
            observer.clone(),
            (queue(), RecordType::of::<R>()),
        )?;
        let in_child = move || {
            let parts = || (queue(), RecordType::of::<R>());
            Engine::in_child(&settings, client.get(), observer.as_ref(), parts)
        };
        let engine = PerProcess::with(engine, in_child);
        if let Some(auditor) = auditor {
            auditor.set_engine(engine.downgrade());
        }
        Ok(Cache {
            engine,
            record_type: PhantomData,
        })
    }

    /// How long a record is fresh after its fill: the [`ttl`](crate::CacheBuilder::ttl) setting.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.engine.first().settings.ttl
    }

    /// The name in log lines and metrics, and in the entries of an outbox.
    pub(crate) fn name(&self) -> &str {
        &self.engine.first().reporter.cache
    }

    /// Fails if no record of this cache can have this id.
    pub(crate) fn check_id(&self, id: &str) -> Result<(), Error> {
        self.engine.get().data_key(&Id::new(&id)?).map(drop)
    }

    /// The counters of this cache and all its clones.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.get().stats()
    }

    /// Sets all counters to zero.
    pub fn reset_stats(&self) {
        self.engine.get().reporter.counters.reset();
    }
}

impl<R> Clone for Cache<R> {
    fn clone(&self) -> Cache<R> {
        Cache {
            engine: self.engine.clone(),
            record_type: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.engine.first().reporter.cache)
            .field("prefix", &self.engine.first().settings.prefix)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
