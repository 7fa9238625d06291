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

mod asking;
mod load;

use std::{
    error::Error as StdError,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use asking::{Asking, Lead, follow};

use crate::{
    answer::{Lookup, Source},
    error::Error,
    fields::{Undecodable, from_fields},
    inner::{Inner, Outcome},
    key::Keys,
    store::{Acquire, Entry},
    token::Token,
};

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
    let read = inner.ask_unless_owed(&data, "read", |store| store.read(&data));
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
                    if nonce == token {
                        // A writer's place lapsed, and ours is the first load after that.
                        return self.load_alone(&leader, load, Source::Loaded);
                    }
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
