//! The lease renewer: one thread that renews the leases of loads that take long.
//!
//! Guarantees that a lease whose load runs on is renewed every third of its TTL, until the load ends or has
//! taken `max_load_time`; so one renewal may fail before it lapses. All leases that are due are renewed in one
//! round trip, however many there are. A process that dies renews nothing, and its leases lapse.
//!
//! The thread is started by the first load and sleeps while none is under way. It knows the client to the store, and
//! nothing of calls and records. It also gives back leases for which nobody wants to wait: those of which
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
    backend::client::StoreClient,
    error::Error,
    record::fields::Fields,
    store::{Completion, CompletionKind, Failure, Store, keys::Keys, token::Token},
    telemetry::reporter::Reporter,
};

/// The handle on the thread. Dropped, it stops and joins it.
pub(crate) struct LeaseRenewer {
    shared: Arc<RenewerShared>,
}

struct RenewerShared {
    client: Arc<StoreClient>,
    reporter: Arc<Reporter>,
    lease_ttl: Duration,
    state: Mutex<RenewerState>,
    /// Notified when the thread has something to do earlier than it thinks.
    wake: Condvar,
}

#[derive(Default)]
struct RenewerState {
    leases: HashMap<Token, RenewedLease>,
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
    fn end<'a>(&self, nothing: &'a Fields) -> CompletionKind<'a> {
        if self.ends_entry {
            CompletionKind::Fill(Duration::ZERO, nothing)
        } else {
            CompletionKind::Release
        }
    }
}

struct RenewedLease {
    keys: Keys,
    /// When to renew it next.
    due: Instant,
    /// When to stop renewing it.
    until: Instant,
}

/// A lease that is being leases, until its load has [ended](RenewalGuard::end). Dropped before that, by a panic, the
/// lease is given back.
pub(crate) struct RenewalGuard<'a> {
    lease_renewer: &'a LeaseRenewer,
    token: Token,
    ended: bool,
    ends_entry: bool,
}

impl LeaseRenewer {
    pub(crate) fn new(
        client: Arc<StoreClient>,
        reporter: Arc<Reporter>,
        lease_ttl: Duration,
    ) -> LeaseRenewer {
        LeaseRenewer {
            shared: Arc::new(RenewerShared {
                client,
                reporter,
                lease_ttl,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// Renews the lease until `until`, or until the returned guard is told or dropped.
    pub(crate) fn start(&self, keys: &Keys, token: Token, until: Instant) -> RenewalGuard<'_> {
        let leases = RenewedLease {
            keys: keys.clone(),
            due: Instant::now() + self.shared.period(),
            until,
        };
        self.update(|state| {
            state.leases.insert(token, leases);
            std::mem::take(&mut state.idle)
        });
        RenewalGuard {
            lease_renewer: self,
            token,
            ended: false,
            ends_entry: false,
        }
    }

    /// Gives the lease back, without letting the caller wait for it.
    pub(crate) fn give_back(&self, keys: Keys, token: Token) {
        self.update(|state| {
            state.returned.push(Returned {
                keys,
                token,
                ends_entry: false,
            });
            true
        });
    }

    /// Changes the state; `change` says whether the thread must hear of it at once.
    fn update(&self, change: impl FnOnce(&mut RenewerState) -> bool) {
        let must_wake = {
            let mut state = self.shared.state.lock();
            let must_wake = change(&mut state);
            if state.thread.is_none() {
                let shared = Arc::clone(&self.shared);
                // Without a thread leases are not renewed, and lapse: slow loads are then refused their
                // fill, which is no reason to fail the lookup. The next load tries again.
                state.thread = thread::Builder::new()
                    .name("cache-aside-lease_renewer".to_owned())
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

impl RenewerShared {
    fn period(&self) -> Duration {
        self.lease_ttl / 3
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let now = Instant::now();
            let returned = std::mem::take(&mut state.returned);
            state.leases.retain(|_, leases| leases.until > now);
            let due = take_due(&mut state.leases, now, self.period());

            if returned.is_empty() && due.is_empty() {
                if let Some(next) = state.leases.values().map(|leases| leases.due).min() {
                    self.wake.wait_until(&mut state, next);
                } else {
                    state.idle = true;
                    self.wake.wait(&mut state);
                }
                continue;
            }

            drop(state);
            // A store of the user's that panics has renewed nothing; the next time it may.
            let renew_due = AssertUnwindSafe(|| self.renew_due(&returned, &due));
            let lost = catch_unwind(renew_due).unwrap_or_default();
            state = self.state.lock();
            for token in lost {
                state.leases.remove(&token);
            }
        }
    }

    fn ask<T>(
        &self,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.client.ask(&self.reporter, request, ask)
    }

    /// Sends what is to be sent; returns the leases that are ours no longer. Renews first, for that can come too late. Where
    /// that fails nothing is given back, which would wait as long for the same answer: a lease that isn't given back lapses,
    /// and one that isn't renewed is due again in time.
    fn renew_due(&self, returned: &[Returned], due: &[(Keys, Token)]) -> Vec<Token> {
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
                CompletionKind::Fill(ttl, nothing) => {
                    store.fill(&one.keys, one.token, ttl, nothing)
                }
                _ => store.release(&one.keys, one.token),
            });
            return;
        }
        let loads: Vec<_> = returned
            .iter()
            .map(|one| Completion {
                keys: &one.keys,
                token: one.token,
                end: one.end(&nothing),
            })
            .collect();
        let (client, reporter) = (&self.client, &self.reporter);
        client.ask_all(reporter, "release", loads.len(), |store| {
            store.finish_all(&loads)
        });
    }
}

/// The leases that are due now, each due again a period later.
fn take_due(
    leases: &mut HashMap<Token, RenewedLease>,
    now: Instant,
    period: Duration,
) -> Vec<(Keys, Token)> {
    leases
        .iter_mut()
        .filter(|(_, leases)| leases.due <= now)
        .map(|(token, leases)| {
            leases.due = now + period;
            (leases.keys.clone(), *token)
        })
        .collect()
}

impl RenewalGuard<'_> {
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

impl Drop for RenewalGuard<'_> {
    fn drop(&mut self) {
        self.lease_renewer.update(|state| {
            let leases = state.leases.remove(&self.token);
            if self.ended {
                return false;
            }
            state.returned.extend(leases.map(|leases| Returned {
                keys: leases.keys,
                token: self.token,
                ends_entry: self.ends_entry,
            }));
            true
        });
    }
}

impl Drop for LeaseRenewer {
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
