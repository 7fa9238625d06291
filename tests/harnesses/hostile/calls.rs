//! The calls of a run, each timed and judged.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Lookup};

use crate::{
    caches::{Bounds, SLOW_LOAD},
    mutate::Mutator,
    primary::{Primary, Verdict, judge},
    tally::{Fault, Tally, lost_time},
};

/// Makes calls, and notes in the tally what they did.
pub(crate) struct Caller<'a> {
    pub(crate) primary: &'a Primary,
    pub(crate) tally: &'a Tally,
    pub(crate) bounds: Bounds,
    /// Which of two the caches are on.
    pub(crate) redis: usize,
    /// Whether the server may say, in a valid reply, that a record does not exist. A client that
    /// believes it does not update that record.
    pub(crate) lies: bool,
    /// Knows the wrong records that are valid replies.
    pub(crate) mutator: Option<&'a Mutator>,
}

impl Caller<'_> {
    /// Makes a call. `None`: it panicked, which the hook counts.
    pub(crate) fn timed<T>(
        &self,
        call: &'static str,
        bound: Duration,
        run: impl FnOnce() -> T,
    ) -> Option<T> {
        let (began, lost) = (Instant::now(), lost_time());
        let done = catch_unwind(AssertUnwindSafe(run)).ok();
        // A call is not to blame for what other programs do.
        let took = began
            .elapsed()
            .saturating_sub(lost_time().saturating_sub(lost));
        self.tally.took(call, took);
        if took > bound {
            self.tally.add(
                Fault::Late,
                &format!("{call} took {took:?}, more than {bound:?}"),
            );
        }
        done
    }

    pub(crate) fn get(&self, cache: &Cache, id: &str) {
        self.lookup("get", cache, id, Duration::ZERO);
    }

    /// A lookup whose load is so slow that its lease is renewed.
    pub(crate) fn get_slow(&self, cache: &Cache, id: &str) {
        self.lookup("slow get", cache, id, SLOW_LOAD);
    }

    fn lookup(&self, call: &'static str, cache: &Cache, id: &str, takes: Duration) {
        let (settled, began) = (self.primary.settled(id, self.redis), Instant::now());
        let load = |id: &str| {
            let record = self.primary.record(id);
            thread::sleep(takes);
            Ok::<_, Infallible>(Some(record))
        };
        let found = self.timed(call, self.bounds.lookup() + takes, || cache.get(id, load));
        if let Some(found) = found {
            self.judge(id, settled, began, found);
        }
    }

    /// A lookup whose load fails.
    pub(crate) fn get_failing(&self, cache: &Cache, id: &str) {
        let (settled, began) = (self.primary.settled(id, self.redis), Instant::now());
        let load = |_: &str| Err(io::Error::other("the primary is away"));
        let found = self.timed("failing get", self.bounds.lookup(), || cache.get(id, load));
        match found {
            Some(Err(Error::Loader(_))) | None => {}
            Some(found) => self.judge(id, settled, began, found),
        }
    }

    pub(crate) fn get_many(&self, cache: &Cache, ids: &[&str]) {
        let settled: Vec<_> = ids
            .iter()
            .map(|id| self.primary.settled(id, self.redis))
            .collect();
        let began = Instant::now();
        let load = |ids: &[&str]| {
            let rows = ids
                .iter()
                .map(|id| ((*id).to_owned(), self.primary.record(id)));
            Ok::<_, Infallible>(rows.collect::<Vec<_>>())
        };
        let bound = self.bounds.lookup();
        match self.timed("get_many", bound, || cache.get_many(ids, load)) {
            Some(Ok(found)) => {
                for ((id, settled), found) in ids.iter().zip(settled).zip(found) {
                    self.judge(id, settled, began, Ok(found));
                }
            }
            Some(Err(error)) => self.unanswered("get_many", &error),
            None => {}
        }
    }

    fn judge(
        &self,
        id: &str,
        settled: u64,
        began: Instant,
        found: Result<Lookup<cache_aside::Record>, Error>,
    ) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.unanswered("get", &error),
        };
        // A server may say that there is no record, which a client must believe.
        let verdict = found
            .record()
            .map_or(Verdict::Forged, |record| judge(id, settled, record));
        let fault = match verdict {
            Verdict::Right => return,
            Verdict::Forged => Fault::Forged,
            Verdict::Stale { .. } if self.lies => Fault::Forged,
            _ if self.explains(id, &verdict, began) => Fault::Forged,
            Verdict::Stale { .. } => Fault::Stale,
            Verdict::Foreign { .. } => Fault::Foreign,
        };
        let source = found.source();
        let trail = self
            .mutator
            .map(|mutator| mutator.trail(id, &verdict))
            .unwrap_or_default();
        let text = format!("{id} was answered with {verdict:?} ({source}){trail}");
        self.tally.add(fault, &text);
    }

    fn explains(&self, id: &str, verdict: &Verdict, began: Instant) -> bool {
        self.mutator
            .is_some_and(|mutator| mutator.explains(id, verdict, began))
    }

    fn unanswered(&self, call: &str, error: &Error) {
        self.tally
            .add(Fault::Unanswered, &format!("{call} failed: {error:?}"));
    }

    pub(crate) fn invalidate(&self, cache: &Cache, id: &str) {
        self.change("invalidate", self.bounds.invalidation(), id, || {
            cache.invalidate(id)
        });
    }

    pub(crate) fn invalidate_many(&self, cache: &Cache, ids: &[&str]) {
        let versions: Vec<_> = ids.iter().map(|id| self.primary.commit(id)).collect();
        let bound = self.bounds.invalidation();
        let done = self.timed("invalidate_many", bound, || cache.invalidate_many(ids));
        for (id, version) in ids.iter().zip(versions) {
            self.settle(id, version, matches!(done, Some(Ok(_))));
        }
    }

    pub(crate) fn expire(&self, cache: &Cache, id: &str) {
        self.change("expire", self.bounds.invalidation(), id, || {
            cache.expire(id)
        });
    }

    /// Clears the cache after a change of this record.
    pub(crate) fn clear(&self, cache: &Cache, id: &str) {
        self.change("clear", self.bounds.clear(), id, || cache.clear());
    }

    pub(crate) fn update(&self, cache: &Cache, id: &str) {
        self.change("update", self.bounds.update(), id, || {
            cache.update(id, |_| Some(self.primary.record(id)))
        });
    }

    /// Changes the record in the primary, and then calls the cache.
    fn change<T>(
        &self,
        call: &'static str,
        bound: Duration,
        id: &str,
        run: impl FnOnce() -> Result<T, Error>,
    ) {
        let version = self.primary.commit(id);
        let done = self.timed(call, bound, run);
        self.settle(id, version, matches!(done, Some(Ok(_))));
    }

    fn settle(&self, id: &str, version: u64, is_done: bool) {
        self.primary.settle(id, version, self.redis, is_done);
    }

    pub(crate) fn write(&self, cache: &Cache, id: &str) {
        let mut version = 0;
        let written = self.timed("write", self.bounds.write(), || {
            cache.write(id, || {
                version = self.primary.commit(id);
                Ok::<_, Infallible>(())
            })
        });
        let is_done = match &written {
            Some(Ok(written)) => written.invalidation_error().is_none(),
            Some(Err(error)) => {
                self.tally
                    .add(Fault::Unanswered, &format!("write failed: {error:?}"));
                false
            }
            None => false,
        };
        self.settle(id, version, is_done);
    }

    /// Updates a field that no checksum covers.
    pub(crate) fn update_field(&self, cache: &Cache, id: &str) {
        self.timed("update_field", self.bounds.update(), || {
            cache.update_field(id, "note", "changed")
        });
    }

    pub(crate) fn ttl(&self, cache: &Cache, id: &str) {
        self.timed("ttl_remaining", self.bounds.lookup(), || {
            cache.ttl_remaining(id)
        });
    }
}
