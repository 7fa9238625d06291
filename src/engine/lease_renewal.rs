//! The lease renewer: one thread that renews the leases of loads that take long.
//!
//! Guarantees that a lease whose load runs on is renewed every third of its TTL, until the load
//! ends or has taken `max_load_time`; so one renewal may fail before it lapses. All leases that are
//! due are renewed in one round trip, however many there are. A process that dies renews nothing,
//! and its leases lapse.
//!
//! The first load starts the thread, which sleeps while none is under way. It knows the client to
//! the store, and nothing of calls and records. It also gives back leases for which no caller wants
//! to wait: those of which only the reply was lost, and those whose fill failed.

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

/// The handle of the thread. Its drop stops the thread and joins it.
pub(crate) struct LeaseRenewer {
    period: Duration,
    worker: Worker<RenewerState>,
}

/// What the thread sends requests with.
struct Sender {
    client: Arc<StoreClient>,
    reporter: Arc<Reporter>,
    lease_ttl: Duration,
}

#[derive(Default)]
struct RenewerState {
    leases: HashMap<Token, RenewedLease>,
    /// Leases to give back, soon.
    returned: Vec<Returned>,
    /// True while the thread sleeps without an end: only then must a new lease wake it. A thread
    /// that sleeps until some lease is due wakes early enough for a newer one, since all leases
    /// have the same period.
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
    /// When to renew it next.
    due: Instant,
    /// When to stop renewing it.
    until: Instant,
}

/// What the thread sends next.
struct Requests {
    returned: Vec<Returned>,
    due: Vec<(Keys, Token)>,
}

/// A lease that is renewed until its load has [ended](RenewalGuard::end). Where a panic drops the
/// guard before that, the lease is given back.
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
        let period = lease_ttl / 3;
        let sender = Sender {
            client,
            reporter,
            lease_ttl,
        };
        let run = move |context: &WorkerContext<RenewerState>| {
            while let Some(requests) = context.wait_for(|state| state.next(period)) {
                // A store that panicked has renewed nothing; the leases are due again in time.
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

    /// Renews the lease until `until`, or until the returned guard is ended or dropped.
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

    /// Changes the state. `change` returns whether the thread has to see that at once.
    fn update(&self, change: impl FnOnce(&mut RenewerState) -> bool) {
        // Without a thread leases are not renewed, and lapse. Slow loads are then refused their
        // fill, which is no reason to fail the lookup. The next load tries to start the thread.
        let _ = self.worker.update(change);
    }
}

impl RenewerState {
    /// What to do now. A lease that is due now is due again a period later.
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

    /// Returns the leases that are ours no longer.
    ///
    /// Renews first, because a renewal can be too late. Where that fails nothing is given back,
    /// which would wait as long for the same answer: a lease that is not given back lapses, and one
    /// that is not renewed is due again in time.
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

impl RenewalGuard<'_> {
    /// The load has ended, and so has the lease.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }

    /// The fill failed. The lease is given back, so that no lookup waits until it lapses, and the
    /// entry is deleted, because the loaded record is newer. The thread tries that once: the caller
    /// has waited enough. If the fill was done after all, its token is gone.
    pub(crate) fn fill_failed(mut self) {
        self.ends_entry = true;
    }
}

impl Drop for RenewalGuard<'_> {
    fn drop(&mut self) {
        self.lease_renewer.update(|state| {
            let lease = state.leases.remove(&self.token);
            if self.ended {
                return false;
            }
            state.returned.extend(lease.map(|lease| Returned {
                keys: lease.keys,
                token: self.token,
                ends_entry: self.ends_entry,
            }));
            true
        });
    }
}
