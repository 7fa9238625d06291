//! The lease renewer: one thread that renews the leases of slow loads.
//!
//! Guarantees that a lease is renewed every third of its TTL, until its load ends or has taken
//! `max_load_time`. So one renewal may fail before the lease lapses. All leases that are due are
//! renewed in one round trip. A process that dies renews nothing, and its leases lapse.
//!
//! The read path and the write path call it. The first load starts the thread, which sleeps while
//! no load is under way. It knows the client to the store, but no calls and no records.
//!
//! It also gives back leases in the background, so that no caller waits for that. Perhaps the reply
//! to its acquire was lost, or its fill failed.

use std::{
    collections::HashMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    backend::client::StoreClient,
    error::Error,
    record::fields::Fields,
    store::{Completion, CompletionKind, Failure, Store, keys::Keys, token::Token},
    telemetry::reporter::Reporter,
    util::worker::{Next, Worker, WorkerContext, contain_panic},
};

/// The handle of the renewer thread. Dropping it stops the thread.
pub(crate) struct LeaseRenewer {
    period: Duration,
    worker: Worker<RenewerState>,
}

/// How many leases wait at most to be given back. More wait only if no thread can be started; they
/// lapse.
const MOST_RETURNED: usize = 10_000;

/// Everything that the thread needs to send requests.
struct Sender {
    client: Arc<StoreClient>,
    reporter: Arc<Reporter>,
    lease_ttl: Duration,
}

#[derive(Default)]
struct RenewerState {
    leases: HashMap<Token, RenewedLease>,
    /// Leases to give back as soon as possible.
    returned: Vec<Returned>,
    /// True while the thread sleeps without a deadline. Only then must a new lease wake it. A
    /// thread that sleeps until the next lease is due wakes early enough for a newer lease, because
    /// all leases have the same period.
    is_idle: bool,
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
    /// When it must be renewed next.
    due: Instant,
    /// When its renewal ends.
    until: Instant,
}

/// What the thread sends next.
struct Requests {
    returned: Vec<Returned>,
    due: Vec<(Keys, Token)>,
}

/// A lease that is renewed until its load has [ended](RenewalGuard::end). If a panic drops the
/// guard before that, the lease is given back.
pub(crate) struct RenewalGuard<'a> {
    lease_renewer: &'a LeaseRenewer,
    token: Token,
    ended: bool,
    ends_entry: bool,
    /// The renewal continues, for another thread.
    is_detached: bool,
}

impl LeaseRenewer {
    pub(crate) fn new(
        client: Arc<StoreClient>,
        reporter: Arc<Reporter>,
        lease_ttl: Duration,
    ) -> LeaseRenewer {
        let period = lease_ttl / 3;
        let sender = Sender {
            client,
            reporter,
            lease_ttl,
        };
        let run = move |context: &WorkerContext<RenewerState>| {
            while let Some(requests) = context.wait_for(|state| state.next(period)) {
                // If the store panicked, it renewed nothing. The leases become due again in time.
                let lost = contain_panic(|| sender.send(&requests)).unwrap_or_default();
                context.update(|state| {
                    for token in lost {
                        state.leases.remove(&token);
                    }
                });
            }
        };
        LeaseRenewer {
            period,
            worker: Worker::new("cache-aside-lease-renewer", run),
        }
    }

    /// Renews the lease until `until`, or until the returned guard ends or is dropped.
    pub(crate) fn start(&self, keys: &Keys, token: Token, until: Instant) -> RenewalGuard<'_> {
        let lease = RenewedLease {
            keys: keys.clone(),
            due: Instant::now() + self.period,
            until,
        };
        self.update(|state| {
            state.leases.insert(token, lease);
            mem::take(&mut state.is_idle)
        });
        self.attach(token)
    }

    /// Takes over a lease that another thread has [detached](RenewalGuard::detach).
    pub(crate) fn attach(&self, token: Token) -> RenewalGuard<'_> {
        RenewalGuard {
            lease_renewer: self,
            token,
            ended: false,
            ends_entry: false,
            is_detached: false,
        }
    }

    /// Gives the lease back on the renewer's thread. The caller does not wait.
    pub(crate) fn give_back(&self, keys: Keys, token: Token) {
        self.update(|state| {
            state.give_back(Returned {
                keys,
                token,
                ends_entry: false,
            });
            true
        });
    }

    /// Changes the state. `change` returns whether the thread must see the change at once.
    fn update(&self, change: impl FnOnce(&mut RenewerState) -> bool) {
        // Without a thread, leases are not renewed and lapse. The fill of a slow load is then
        // refused. That is no reason to fail the lookup. The next load tries again to start the
        // thread.
        let _ = self.worker.update(change);
    }
}

impl RenewerState {
    fn give_back(&mut self, lease: Returned) {
        if self.returned.len() < MOST_RETURNED {
            self.returned.push(lease);
        }
    }

    /// What to do now. A lease that is renewed now is due again one period later.
    fn next(&mut self, period: Duration) -> Next<Requests> {
        let now = Instant::now();
        self.leases.retain(|_, lease| lease.until > now);
        let is_due = |lease: &RenewedLease| lease.due <= now;
        let mut due = Vec::new();
        for (token, lease) in self.leases.iter_mut().filter(|(_, lease)| is_due(lease)) {
            lease.due = now + period;
            due.push((lease.keys.clone(), *token));
        }
        let returned = mem::take(&mut self.returned);
        if !returned.is_empty() || !due.is_empty() {
            return Next::Run(Requests { returned, due });
        }
        if let Some(next) = self.leases.values().map(|lease| lease.due).min() {
            return Next::WaitUntil(next);
        }
        self.is_idle = true;
        Next::Wait
    }
}

impl Sender {
    fn ask<T>(
        &self,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.client.ask(&self.reporter, request, ask)
    }

    /// Returns the leases that this process no longer holds.
    ///
    /// Renews before it gives leases back, because a late renewal loses the lease. If the renewal
    /// fails, it gives nothing back: that request would wait as long, and fail for the same reason.
    /// A lease that is not given back lapses. A lease that was not renewed becomes due again in
    /// time.
    fn send(&self, Requests { returned, due }: &Requests) -> Vec<Token> {
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

    /// Gives leases back. All leases of a batch take one round trip.
    fn release(&self, returned: &[Returned]) {
        let nothing = Fields::new();
        if let [one] = returned {
            // If this fails, the lease lapses.
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

impl RenewalGuard<'_> {
    /// Lets go of the lease without ending its renewal, so that another thread can load.
    pub(crate) fn detach(mut self) -> Token {
        self.is_detached = true;
        self.token
    }

    /// Ends the renewal: the load has ended, and so has the lease.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }

    /// Reports that the fill failed. The renewer gives the lease back, so that no lookup waits
    /// until it lapses. It also deletes the entry, because the loaded record is newer. It tries
    /// once, on its own thread, because the caller has waited long enough. If the server did the
    /// fill after all, the token no longer holds the lease, and the request has no effect.
    pub(crate) fn fill_failed(mut self) {
        self.ends_entry = true;
    }
}

impl Drop for RenewalGuard<'_> {
    fn drop(&mut self) {
        if self.is_detached {
            return;
        }
        self.lease_renewer.update(|state| {
            let lease = state.leases.remove(&self.token);
            if self.ended {
                return false;
            }
            if let Some(RenewedLease { keys, .. }) = lease {
                state.give_back(Returned {
                    keys,
                    token: self.token,
                    ends_entry: self.ends_entry,
                });
            }
            true
        });
    }
}
