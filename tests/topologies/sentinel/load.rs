//! Readers and writers that check every answer against earlier invalidations.

use std::{
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Record, Source};

const IDS: usize = 8;

/// A primary of versions, and the versions that a cache was told.
#[derive(Default)]
pub(crate) struct Load {
    versions: [AtomicU64; IDS],
    /// The newest version whose invalidation has returned `Ok`, and when.
    told: [Mutex<Option<(u64, Instant)>>; IDS],
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) reads: usize,
    pub(crate) degraded: usize,
    pub(crate) writes: usize,
    pub(crate) deferred: usize,
    /// For each stale answer: when the ignored invalidation had returned, and when the read began.
    pub(crate) stale: Vec<(Instant, Instant)>,
    /// The times at which a server had the record.
    pub(crate) hits: Vec<Instant>,
}

impl Load {
    pub(crate) fn read(&self, cache: &Cache, at: usize) {
        let told = *self.told[at].lock().unwrap();
        let began = Instant::now();
        let load = |_: &str| {
            let version = self.versions[at].load(SeqCst).to_string();
            Ok::<_, Infallible>(Some(Record::from([("version", version)])))
        };
        let found = cache
            .get(format!("p-{at}"), load)
            .expect("`get` never fails");
        let version: u64 = found
            .record()
            .unwrap()
            .get("version")
            .unwrap()
            .parse()
            .unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.reads += 1;
        if found.source() == Source::Degraded {
            seen.degraded += 1;
        } else if found.source() == Source::Hit {
            seen.hits.push(Instant::now());
        }
        if let Some((floor, when)) = told
            && version < floor
        {
            seen.stale.push((when, began));
        }
    }

    pub(crate) fn write(&self, cache: &Cache, at: usize) {
        let version = self.versions[at].fetch_add(1, SeqCst) + 1;
        let done = cache.invalidate(format!("p-{at}"));
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap();
        seen.writes += 1;
        if done.is_err() {
            seen.deferred += 1;
            return;
        }
        drop(seen);
        let mut told = self.told[at].lock().unwrap();
        if told.is_none_or(|(floor, _)| floor < version) {
            *told = Some((version, now));
        }
    }

    /// Reads and writes from several threads while `meanwhile` runs.
    pub(crate) fn run(cache: &Cache, meanwhile: impl FnOnce()) -> Seen {
        let load = Load::default();
        thread::scope(|scope| {
            for thread in 0..4 {
                let load = &load;
                scope.spawn(move || {
                    let mut turn = thread;
                    while !load.is_over.load(SeqCst) {
                        turn += 1;
                        load.read(cache, turn % IDS);
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            for thread in 0..2 {
                let load = &load;
                scope.spawn(move || {
                    let mut turn = thread * 3;
                    while !load.is_over.load(SeqCst) {
                        turn += 1;
                        load.write(cache, turn % IDS);
                        thread::sleep(Duration::from_millis(2));
                    }
                });
            }
            // Also where it panics, or the others would run for ever.
            let ends = Ends(&load.is_over);
            meanwhile();
            drop(ends);
        });
        load.seen.into_inner().unwrap()
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Seen {
    /// How long after its loss a server answered again; `None`: not during the load.
    pub(crate) fn recovered(&self, gone: Instant) -> Option<Duration> {
        // A reply to an earlier request may still arrive.
        let after = gone + Duration::from_millis(100);
        let first = self.hits.iter().filter(|at| **at > after).min();
        first.map(|first| first.duration_since(gone))
    }

    /// The number of stale answers. All must ignore an invalidation acknowledged between these
    /// instants: any other is our fault.
    pub(crate) fn stale_between(&self, since: Instant, until: Instant) -> usize {
        for (told, began) in &self.stale {
            assert!(
                (since..until).contains(told),
                "the read began {:?}, the invalidation had returned {:?} after the first of {:?}",
                began.saturating_duration_since(since),
                told.saturating_duration_since(since),
                until - since
            );
        }
        self.stale.len()
    }
}
