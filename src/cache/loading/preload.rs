//! Reads many records ahead, at a pace that leaves the primary room for others.

use std::{fmt::Display, thread, time::Duration, time::Instant};

use super::LoadingCache;
use crate::{error::Error, outcome::Source, util::id::Ids};

/// How many ids are read between two pauses and reports. At some milliseconds for a load, that is
/// less than a second.
const BATCH: usize = 100;

/// How far a [`LoadingCache::preload`] is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PreloadProgress {
    /// How many ids were given.
    pub total: usize,
    /// How many of them have been read.
    pub done: usize,
    /// How many of these were loaded from the primary. The others were cached, or failed.
    pub loaded: usize,
    /// How many lookups failed.
    pub failed: usize,
    /// The first failure.
    pub first_error: Option<Error>,
}

impl<R: Send + Sync + 'static> LoadingCache<R> {
    /// Reads these records, so that they are cached: before a start, or after a `clear`. Each is an
    /// ordinary [`get`](LoadingCache::get), so what is cached is not loaded, and nothing stale is
    /// filled.
    ///
    /// It works on this thread, one record after the other. After each 100 ids it pauses for as
    /// long as their lookups took, if any was loaded. So it takes at most half of what one
    /// connection to the primary can do. A lookup that fails does not end it.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let products = cache.loading(read_row);
    /// let all = products.preload(["p-001", "p-002"])?;
    /// assert_eq!((all.loaded, all.failed), (2, 0));
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// That of a `get` for each id.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidId`]: an id is empty or longer than 64 KiB. Nothing was read. Other failures
    /// are counted in the result.
    ///
    /// # Panics
    ///
    /// Panics if the loader panics on this thread, or if the operating system has no randomness to
    /// give.
    pub fn preload(&self, ids: impl IntoIterator<Item: Display>) -> Result<PreloadProgress, Error> {
        self.preload_with_progress(ids, |_| {})
    }

    /// Does what [`preload`](LoadingCache::preload) does, and calls `progress` after each 100 ids
    /// and at the end.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let products = cache.loading(|_| Ok::<_, Infallible>(None));
    /// products.preload_with_progress(1..=250, |so_far| {
    ///     println!("{} of {}", so_far.done, so_far.total);
    /// })?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// That of a `get` for each id.
    ///
    /// # Errors
    ///
    /// Those of [`preload`](LoadingCache::preload).
    ///
    /// # Panics
    ///
    /// Panics if `progress` or the loader panics, or if the operating system has no randomness to
    /// give.
    pub fn preload_with_progress(
        &self,
        ids: impl IntoIterator<Item: Display>,
        mut progress: impl FnMut(&PreloadProgress),
    ) -> Result<PreloadProgress, Error> {
        let ids = Ids::new(ids)?;
        let ids: Vec<_> = ids.iter().collect();
        let mut so_far = PreloadProgress {
            total: ids.len(),
            ..PreloadProgress::default()
        };
        for batch in ids.chunks(BATCH) {
            let (began, loaded) = (Instant::now(), so_far.loaded + so_far.failed);
            for id in batch {
                match self.get(id) {
                    Ok(found) => so_far.loaded += usize::from(is_load(found.source())),
                    Err(error) => {
                        so_far.failed += 1;
                        so_far.first_error.get_or_insert(error);
                    }
                }
                so_far.done += 1;
            }
            let took = began.elapsed();
            progress(&so_far);
            if so_far.done < so_far.total && so_far.loaded + so_far.failed > loaded {
                thread::sleep(took.min(LONGEST_PAUSE));
            }
        }
        Ok(so_far)
    }
}

/// A primary that takes longer than this for a batch is in trouble, and a longer pause does not
/// help.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

fn is_load(source: Source) -> bool {
    matches!(source, Source::Loaded | Source::Degraded)
}
