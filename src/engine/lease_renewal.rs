//! The keeper: one thread that renews the leases of loads that take long.
//!
//! Guarantees that a lease whose load runs on is renewed every third of its TTL, until the load ends or has
//! taken `max_load_time`; so one renewal may fail before it lapses. All leases that are due are renewed in one
//! round trip, however many there are. A process that dies renews nothing, and its leases lapse.
//!
//! The thread is started by the first load and sleeps while none is under way. It knows the link to the store, and
//! nothing of flights and records. It also gives back leases for which nobody wants to wait: those of which
//! only the reply was lost, and those whose fill failed.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    backend::client::Link,
    error::Error,
    record::fields::Fields,
    store::{End, Failure, Finish, Store, keys::Keys, token::Token},
    telemetry::reporter::Reporter,
};

/// The handle on the thread. Dropped, it stops and joins it.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    reporter: Arc<Reporter>,
    lease_ttl: Duration,
    state: Mutex<State>,
    /// Notified when the thread has something to do earlier than it thinks.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    kept: HashMap<Token, Kept>,
    /// Leases to give back, soon.
    returned: Vec<Returned>,
    /// True while the thread sleeps without an end: only then must a new lease wake it. A thread that
    /// sleeps until some lease is due wakes early enough for a newer one, since all wait equally long.
    idle: bool,
    stopped: bool,
    thread: Option<JoinHandle<()>>,
}

struct Returned {
    keys: Keys,
    token: Token,
    ends_entry: bool,
}

impl Returned {
    fn end<'a>(&self, nothing: &'a Fields) -> End<'a> {
        if self.ends_entry {
            End::Fill(Duration::ZERO, nothing)
        } else {
            End::Release
        }
    }
}

struct Kept {
    keys: Keys,
    /// When to renew it next.
    due: Instant,
    /// When to stop renewing it.
    until: Instant,
}

/// A lease that is being kept, until its load has [ended](Keeping::end). Dropped before that, by a panic, the
/// lease is given back.
pub(crate) struct Keeping<'a> {
    keeper: &'a Keeper,
    token: Token,
    ended: bool,
    ends_entry: bool,
}

impl Keeper {
    pub(crate) fn new(link: Arc<Link>, reporter: Arc<Reporter>, lease_ttl: Duration) -> Keeper {
        Keeper {
            shared: Arc::new(Shared {
                link,
                reporter,
                lease_ttl,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// Renews the lease until `until`, or until the returned guard is told or dropped.
    pub(crate) fn keep(&self, keys: &Keys, token: Token, until: Instant) -> Keeping<'_> {
        let kept = Kept {
            keys: keys.clone(),
            due: Instant::now() + self.shared.period(),
            until,
        };
        self.tell(|state| {
            state.kept.insert(token, kept);
            std::mem::take(&mut state.idle)
        });
        Keeping {
            keeper: self,
            token,
            ended: false,
            ends_entry: false,
        }
    }

    /// Gives the lease back, without letting the caller wait for it.
    pub(crate) fn give_back(&self, keys: Keys, token: Token) {
        self.tell(|state| {
            state.returned.push(Returned {
                keys,
                token,
                ends_entry: false,
            });
            true
        });
    }

    /// Changes the state; `change` says whether the thread must hear of it at once.
    fn tell(&self, change: impl FnOnce(&mut State) -> bool) {
        let must_wake = {
            let mut state = self.shared.state.lock();
            let must_wake = change(&mut state);
            if state.thread.is_none() {
                let shared = Arc::clone(&self.shared);
                // Without a thread leases are not renewed, and lapse: slow loads are then refused their
                // fill, which is no reason to fail the lookup. The next load tries again.
                state.thread = thread::Builder::new()
                    .name("cache-aside-keeper".to_owned())
                    .spawn(move || shared.run())
                    .ok();
            }
            must_wake
        };
        // No wake-up is lost: the thread sets `idle`, or reads the new state, under the same lock.
        if must_wake {
            self.shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn period(&self) -> Duration {
        self.lease_ttl / 3
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let now = Instant::now();
            let returned = std::mem::take(&mut state.returned);
            state.kept.retain(|_, kept| kept.until > now);
            let due = take_due(&mut state.kept, now, self.period());

            if returned.is_empty() && due.is_empty() {
                if let Some(next) = state.kept.values().map(|kept| kept.due).min() {
                    self.wake.wait_until(&mut state, next);
                } else {
                    state.idle = true;
                    self.wake.wait(&mut state);
                }
                continue;
            }

            drop(state);
            // A store of the user's that panics has renewed nothing; the next time it may.
            let tend = AssertUnwindSafe(|| self.tend(&returned, &due));
            let lost = catch_unwind(tend).unwrap_or_default();
            state = self.state.lock();
            for token in lost {
                state.kept.remove(&token);
            }
        }
    }

    fn ask<T>(
        &self,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.link.ask(&self.reporter, request, ask)
    }

    /// Sends what is to be sent; returns the leases that are ours no longer. Renews first, for that can come too late. Where
    /// that fails nothing is given back, which would wait as long for the same answer: a lease that isn't given back lapses,
    /// and one that isn't renewed is due again in time.
    fn tend(&self, returned: &[Returned], due: &[(Keys, Token)]) -> Vec<Token> {
        let mut lost = Vec::new();
        if !due.is_empty() {
            let Ok(renewed) = self.ask("renew", |store| store.renew_all(due, self.lease_ttl))
            else {
                return lost;
            };
            let ours_no_longer = due.iter().zip(renewed).filter(|(_, renewed)| !renewed);
            lost.extend(ours_no_longer.map(|((_, token), _)| *token));
        }
        self.release(returned);
        lost
    }

    /// Gives leases back: one, or in one round trip as many as a batch had.
    fn release(&self, returned: &[Returned]) {
        let nothing = Fields::new();
        if let [one] = returned {
            // If it fails, the lease lapses.
            let _ = self.ask("release", |store| match one.end(&nothing) {
                End::Fill(ttl, nothing) => store.fill(&one.keys, one.token, ttl, nothing),
                _ => store.release(&one.keys, one.token),
            });
            return;
        }
        let loads: Vec<_> = returned
            .iter()
            .map(|one| Finish {
                keys: &one.keys,
                token: one.token,
                end: one.end(&nothing),
            })
            .collect();
        let (link, reporter) = (&self.link, &self.reporter);
        link.ask_all(reporter, "release", loads.len(), |store| {
            store.finish_all(&loads)
        });
    }
}

/// The leases that are due now, each due again a period later.
fn take_due(kept: &mut HashMap<Token, Kept>, now: Instant, period: Duration) -> Vec<(Keys, Token)> {
    kept.iter_mut()
        .filter(|(_, kept)| kept.due <= now)
        .map(|(token, kept)| {
            kept.due = now + period;
            (kept.keys.clone(), *token)
        })
        .collect()
}

impl Keeping<'_> {
    /// The load has ended, and so has the lease.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }

    /// The fill failed. The lease is given back, so that nobody waits until it lapses, and the
    /// entry goes: what was loaded is newer. Tried once, by the thread, since the caller has waited
    /// enough. If the fill was done after all, its token is gone.
    pub(crate) fn fill_failed(mut self) {
        self.ends_entry = true;
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.keeper.tell(|state| {
            let kept = state.kept.remove(&self.token);
            if self.ended {
                return false;
            }
            state.returned.extend(kept.map(|kept| Returned {
                keys: kept.keys,
                token: self.token,
                ends_entry: self.ends_entry,
            }));
            true
        });
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let thread = {
            let mut state = self.shared.state.lock();
            state.stopped = true;
            state.thread.take()
        };
        self.shared.wake.notify_one();
        if let Some(thread) = thread
            // An observer that drops the last cache does so on this very thread, which ends after it.
            && thread.thread().id() != thread::current().id()
        {
            // The thread ends after what it is sending. Had it panicked, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}
