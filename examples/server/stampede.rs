//! The stampede: many readers of one record at the same time, right after its invalidation.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Record, Source};

use crate::{primary::Down, routes::Shop};

pub(crate) struct Ran {
    /// How often these readers read the primary.
    pub(crate) primary_reads: u64,
    /// From the common start until the last reader had its answer.
    pub(crate) elapsed: Duration,
    pub(crate) readers: Vec<Reader>,
}

/// One reader's result. Times are counted from the common start.
pub(crate) struct Reader {
    pub(crate) source: Source,
    pub(crate) hit: bool,
    pub(crate) started: Duration,
    pub(crate) finished: Duration,
    pub(crate) redis_latency: Duration,
    pub(crate) found: bool,
}

/// Starts `readers` readers of `id`.
pub(crate) fn run(shop: &Shop, id: &str, readers: usize) -> Result<Ran, Error> {
    let cache = &shop.in_use.cache();
    cache.invalidate(id)?;
    let (start, primary_reads) = (Barrier::new(readers), AtomicU64::new(0));
    let load = |id: &str| {
        primary_reads.fetch_add(1, SeqCst);
        shop.primary.read(id)
    };
    let reads = crossbeam::scope(|scope| {
        let running: Vec<_> = (0..readers)
            .map(|_| scope.spawn(|_| read(cache, load, id, &start)))
            .collect();
        running
            .into_iter()
            .map(|reader| reader.join().expect("a reader has no reason to panic"))
            .collect::<Result<Vec<_>, _>>()
    })
    .expect("all readers were joined")?;
    // The first reader that passed the barrier. A clock outside could start at any time before or
    // after.
    let began = reads.iter().map(|read| read.started).min();
    let began = began.unwrap_or_else(Instant::now);
    let readers: Vec<_> = reads.into_iter().map(|read| read.since(began)).collect();
    Ok(Ran {
        primary_reads: primary_reads.into_inner(),
        elapsed: readers
            .iter()
            .map(|reader| reader.finished)
            .max()
            .unwrap_or_default(),
        readers,
    })
}

/// One lookup, with its times.
struct Read {
    started: Instant,
    finished: Instant,
    source: Source,
    hit: bool,
    redis_latency: Duration,
    found: bool,
}

fn read(
    cache: &Cache,
    load: impl Fn(&str) -> Result<Option<Record>, Down>,
    id: &str,
    start: &Barrier,
) -> Result<Read, Error> {
    start.wait();
    let started = Instant::now();
    let found = cache.get(id, load)?;
    Ok(Read {
        started,
        finished: Instant::now(),
        source: found.source(),
        hit: found.is_hit(),
        redis_latency: found.redis_latency(),
        found: found.record().is_some(),
    })
}

impl Read {
    fn since(self, began: Instant) -> Reader {
        Reader {
            source: self.source,
            hit: self.hit,
            started: self.started.duration_since(began),
            finished: self.finished.duration_since(began),
            redis_latency: self.redis_latency,
            found: self.found,
        }
    }
}
