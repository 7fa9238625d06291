//! The one read path.
//!
//! ```text
//! get ─ read ─┬─ a record: hit
//!             ├─ none: acquire ─┬─ a record: somebody filled it meanwhile
//!             │        ↑        ├─ acquired: lead: load, tell the followers, fill or release
//!             │        │        ├─ held by T: a flight of this process? follow it : watch T, and poll
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
//!   under it and polls, the others follow that. What the watcher reads is right for all of them: each was
//!   told the token after it began, and a token that has been ended never comes back.
//!   The same holds for the nonce of a write guard: every write that ends while the guard stands gives it
//!   another one.
//! - A fill is refused unless its token still stands in the lease key.
//! - A load without Redis is shared only with lookups that began **before the load was announced**. No token
//!   vouches for it, and another process may have invalidated through a connection that works.
//!
//! The lease is the one of "Scaling Memcache at Facebook" (NSDI '13, section 3.2.1), the shared flight is
//! Go's `singleflight`.

use std::{
    error::Error as StdError,
    hash::Hash,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::{Lookup, Source},
    error::Error,
    fields::{Fields, Undecodable, from_fields, not_found, to_fields},
    flight::{Arrival, Flight, Leader},
    inner::{Inner, Outcome, Settings},
    key::Keys,
    store::{Acquire, Entry},
    token::Token,
};

/// Who ends a flight that is found by a token.
type Lead<'a, R> = Leader<'a, Token, Outcome<R>>;

/// One lookup under way.
struct Asking<'a, R> {
    inner: &'a Inner<R>,
    /// Before the first look: what was invalidated before this instant must not be returned.
    began: Instant,
    redis_latency: Duration,
}

/// See [`Cache::get`](crate::Cache::get).
pub(crate) fn get<R, E, F>(inner: &Inner<R>, id: &str, loader: F) -> Result<Lookup<R>, Error>
where
    R: Serialize + DeserializeOwned,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnOnce(&str) -> Result<Option<R>, E>,
{
    let data = inner.data_key(id)?;
    let load = move || loader(id).map_err(|error| Error::Loader(Arc::from(error.into())));

    let began = Instant::now();
    let read = match inner.link.bypass(&data) {
        None => inner.ask("read", |store| store.read(&data)),
        Some(cause) => Err(Error::Redis {
            request: "read",
            cause,
        }),
    };
    let asking = Asking {
        inner,
        began,
        redis_latency: began.elapsed(),
    };
    let look = match read {
        Ok(Entry::Record(fields)) => match inner.decode(fields) {
            Ok(record) => {
                inner.counters.hits.add_one();
                if record.is_none() {
                    inner.counters.negative_hits.add_one();
                }
                return Ok(asking.found(record.map(Arc::new), Source::Hit));
            }
            // No second look, it would find the same.
            Err(Undecodable) => false,
        },
        Ok(Entry::Absent) => true,
        Ok(Entry::Foreign) => {
            inner.counters.unreadable.add_one();
            true
        }
        Err(failure) => {
            inner.counters.misses.add_one();
            return asking.degraded(&data, load, failure);
        }
    };
    inner.counters.misses.add_one();
    asking.missed(&Keys::of(data), look, load)
}

impl<R: Serialize + DeserializeOwned> Asking<'_, R> {
    /// There is no usable record in Redis: load it under a lease, or get it from whoever does.
    fn missed(
        &self,
        keys: &Keys,
        mut look: bool,
        load: impl FnOnce() -> Result<Option<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        let deadline = inner.patience_from(self.began);
        // In the table before Redis can name it: a follower may hear of the token before its owner does.
        let leader = inner.flights.announce(Token::random());
        let token = *leader.key();
        let mut watch: Option<Lead<'_, R>> = None;
        let mut polls = 0;
        loop {
            let lease_ttl = inner.settings.lease_ttl;
            let acquired = inner.ask("acquire", |store| {
                store.acquire(keys, token, lease_ttl, look)
            });
            match acquired {
                Ok(Acquire::Acquired) => {
                    // Those who watched with us ask again, and are told our token.
                    drop(watch);
                    return self.lead(keys, &leader, load);
                }
                Ok(Acquire::Record(fields)) => match from_fields(fields) {
                    Ok(record) => {
                        let outcome = Ok(record.map(Arc::new));
                        if let Some(watch) = watch {
                            watch.land(outcome.clone());
                        }
                        return self.waited(outcome);
                    }
                    // Not counted: most often it is what the first look saw.
                    Err(Undecodable) => look = false,
                },
                Ok(Acquire::Guarded { nonce }) => {
                    watch = None;
                    match inner.flights.announce_or_find(&nonce) {
                        Ok(guarded) => {
                            drop(leader);
                            return self.load_alone(&guarded, load, Source::Loaded);
                        }
                        Err(flight) => {
                            if let Some(outcome) = follow(&flight, deadline)? {
                                return self.waited(outcome);
                            }
                            if Instant::now() >= deadline {
                                break;
                            }
                        }
                    }
                }
                Ok(Acquire::Held { by, left }) => {
                    if Instant::now() >= deadline {
                        break;
                    }
                    // What the holder fills is worth a look again.
                    look = true;
                    polls += 1;
                    let pause = self.pause(token, polls, left, deadline);
                    if let Some(outcome) = self.wait(by, &mut watch, pause, deadline)? {
                        return self.waited(outcome);
                    }
                }
                Err(failure) => {
                    // The lease may be ours: perhaps only the reply was lost.
                    inner.keeper.give_back(keys.clone(), token);
                    drop((watch, leader));
                    return self.degraded(&keys.data, load, failure);
                }
            }
        }
        drop(watch);
        drop(leader);
        let waited = Error::WaitTimeout {
            waited: self.began.elapsed(),
        };
        if inner.settings.fail_on_wait_timeout {
            return Err(waited);
        }
        self.degraded(&keys.data, load, waited)
    }

    /// The lease is another's: follow the flight that is announced under its token in this process, whether
    /// that loads or watches. If there is none, watch: announce one, and pause before asking again.
    ///
    /// `None`: ask again.
    fn wait<'a>(
        &'a self,
        holder: Option<Token>,
        watch: &mut Option<Lead<'a, R>>,
        pause: Duration,
        deadline: Instant,
    ) -> Result<Option<Outcome<R>>, Error> {
        // Without a token, that is under another program's lock, everyone is on their own.
        if holder.is_none() || holder != watch.as_ref().map(|watch| *watch.key()) {
            // Another holder than the one that was watched. Its followers must hear of it.
            *watch = None;
            match holder.map(|token| self.inner.flights.announce_or_find(&token)) {
                Some(Err(flight)) => return follow(&flight, deadline),
                announced => *watch = announced.and_then(Result::ok),
            }
        }
        thread::sleep(pause);
        Ok(None)
    }

    /// The lease is ours: load, tell the followers, then fill or release.
    ///
    /// The followers come first, so that they don't wait for a round trip that changes nothing for them.
    /// Whoever is told the token after that finds the landed flight in the table, until the lease has ended.
    fn lead(
        &self,
        keys: &Keys,
        leader: &Lead<'_, R>,
        load: impl FnOnce() -> Result<Option<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        let token = *leader.key();
        let until = Instant::now() + inner.settings.max_load_time;
        let keeping = inner.keeper.keep(keys, token, until);
        let (outcome, fields) = match self.run(load) {
            Ok((record, fields)) => (Ok(record), fields),
            Err(error) => (Err(error), None),
        };
        leader.land(outcome.clone());

        let Settings {
            ttl, negative_ttl, ..
        } = inner.settings;
        let absent = matches!(outcome, Ok(None));
        let entry = match fields {
            Some(fields) => Some((ttl, fields)),
            None => negative_ttl
                .filter(|_| absent)
                .map(|ttl| (ttl, not_found())),
        };
        let ended = match &entry {
            Some((ttl, fields)) => inner.ask("fill", |store| store.fill(keys, token, *ttl, fields)),
            None => inner.ask("release", |store| store.release(keys, token)),
        };
        keeping.end();
        // A failure here costs the next caller a load and this one nothing: the lease lapses.
        if let Ok(false) = ended
            && entry.is_some()
        {
            inner.counters.refused_fills.add_one();
        }
        Ok(self.found(outcome?, Source::Loaded))
    }

    /// Redis is no help: load without it, one load at a time for this key in this process.
    ///
    /// Another's load is shared only if it was announced after this lookup began. A load that was already
    /// under way may hold what an invalidation, through another process's connection, has ended since.
    fn degraded(
        &self,
        data: &str,
        load: impl FnOnce() -> Result<Option<R>, Error>,
        cause: Error,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        inner.counters.degraded.add_one();
        let deadline = inner.patience_from(Instant::now());
        let outcome = loop {
            match inner.degraded.announce_or_find(data) {
                Ok(leader) => {
                    let found = self.load_alone(&leader, load, Source::Degraded)?;
                    return Ok(found.because_of(cause));
                }
                Err(flight) => {
                    let outcome = follow(&flight, deadline)?;
                    if flight.announced() >= self.began
                        && let Some(outcome) = outcome
                    {
                        inner.counters.stampedes_suppressed.add_one();
                        break outcome;
                    }
                    if Instant::now() < deadline {
                        continue;
                    }
                    if inner.settings.fail_on_wait_timeout {
                        let waited = self.began.elapsed();
                        return Err(Error::WaitTimeout { waited });
                    }
                    // That load has hung, for all we know. Ours may not.
                    break self.run(load).map(|(record, _)| record);
                }
            }
        };
        Ok(self.found(outcome?, Source::Degraded).because_of(cause))
    }

    /// Loads without filling: tells those who follow, and nobody who comes later.
    fn load_alone<K: Eq + Hash>(
        &self,
        leader: &Leader<'_, K, Outcome<R>>,
        load: impl FnOnce() -> Result<Option<R>, Error>,
        source: Source,
    ) -> Result<Lookup<R>, Error> {
        let outcome = self.run(load).map(|(record, _)| record);
        // Left first: who comes now must load anew.
        leader.leave();
        leader.land(outcome.clone());
        Ok(self.found(outcome?, source))
    }

    /// Runs the loader, and counts. Returns the record as callers get it and as it is stored.
    fn run(
        &self,
        load: impl FnOnce() -> Result<Option<R>, Error>,
    ) -> Result<(Option<Arc<R>>, Option<Fields>), Error> {
        let counters = &self.inner.counters;
        counters.loads.add_one();
        // Dropped by an error and by a panic.
        let failed = counters.load_errors.add_one_on_drop();
        let record = load()?;
        std::mem::forget(failed);
        // Also where nothing will be stored: what is wrong with a record should not show only now and then.
        let fields = record.as_ref().map(to_fields).transpose()?;
        Ok((record.map(Arc::new), fields))
    }

    /// Somebody else's load answered this lookup.
    fn waited(&self, outcome: Outcome<R>) -> Result<Lookup<R>, Error> {
        self.inner.counters.stampedes_suppressed.add_one();
        Ok(self.found(outcome?, Source::Waited))
    }

    fn found(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        Lookup::new(record, source, self.redis_latency)
    }

    /// How long to wait before asking again for a lease that another process holds, or a flight that ended
    /// this very moment. It begins with a millisecond, for the latter, and doubles up to the `poll`
    /// setting, less up to half of it by chance, so that waiters don't ask in step. Never much beyond the
    /// lapse of the lease, never beyond the deadline.
    fn pause(&self, token: Token, polls: u32, left: Duration, deadline: Instant) -> Duration {
        let longest = self.inner.settings.poll;
        let pause = Duration::from_millis(1 << (polls - 1).min(10)).min(longest);
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
        pause
            .saturating_sub(Duration::from_micros(token.spread(polls, half)))
            .min(left.saturating_add(Duration::from_millis(1)))
            .min(deadline.saturating_duration_since(Instant::now()))
    }
}

/// Waits for another's flight. `None`: it was abandoned, or the deadline has passed.
fn follow<R>(flight: &Flight<Outcome<R>>, deadline: Instant) -> Result<Option<Outcome<R>>, Error> {
    if flight.is_led_by_this_thread() {
        return Err(Error::Reentrant);
    }
    Ok(match flight.wait_until(deadline) {
        Arrival::Landed(outcome) => Some(outcome),
        Arrival::Abandoned | Arrival::TimedOut => None,
    })
}
