//! The store on a Redis Cluster: each step goes to the node that has the record's slot.
//!
//! Every node is a [`RedisStore`] of its own, with its own connections, its own line before them and its own breaker; here it is
//! decided which one is asked, and what a redirection means. Not by redis-rs's own cluster client: that one repeats what timed
//! out (a question for a lease must not be), doesn't follow a slot in a pipeline, watches no keys and hears no pushes.
//!
//! Both keys of a record are in one slot (`key.rs`), so each step is done by one node, as atomically as on a single
//! server. A node refuses what concerns a slot that isn't its own (any more), whoever was told so or not; that is what the promises
//! rest on here, and not on what this process believes. While a slot is being moved, see `apart.rs`.

pub(crate) mod check;
pub(crate) mod clear;
pub(crate) mod many;
pub(crate) mod migrating;
pub(crate) mod node;
pub(crate) mod parallel;
pub(crate) mod redirect;
pub(crate) mod slot_map;
pub(crate) mod slots;
pub(crate) mod topology;
pub(crate) mod tracking;

use std::{sync::Arc, thread, time::Duration};

use redis::Client;

use self::{
    node::{Node, NodeConfig},
    redirect::{Redirect, SlotMigrating, TooManyRedirects},
    slots::slot_of,
    topology::Topology,
    tracking::{ClusterSubscription, SubscriptionHandle},
};
use super::single::RedisStore;
use crate::{
    record::fields::Fields,
    store::{
        Acquire, AcquireRequest, BatchResult, Change, ChangeListener, Completion, Cursor, Entry,
        Failure, FailureKind, KeyKind, NewTtl, Refresh, RefreshRequest, ScanPage, Store,
        Subscription, TtlRemaining, Update, keys::Keys, token::Token,
    },
    util::{backoff::Backoff, random::shortened},
};

/// How often a request is redirected at most: once by an old map, once by a slot that is being moved, and as often again
/// because that was just then.
const MOST_REDIRECTS: u32 = 5;

/// The pause before the third redirection is followed. The pause doubles before each further one:
/// at most 28 ms in total.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// The last of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// The nodes of a cluster, and what is known of who has which slot.
pub(crate) struct ClusterStore {
    topology: Arc<Topology>,
}

impl ClusterStore {
    /// Opens no connection. Each seed leads to a port.
    pub(crate) fn new(
        seeds: Vec<Client>,
        terms: NodeConfig,
        probe_interval: Duration,
    ) -> ClusterStore {
        ClusterStore {
            topology: Topology::new(seeds, terms, probe_interval),
        }
    }

    /// Asks the node that has this key, or that it sends us to. `step` is told whether it is asked for this once only
    /// (`ASK`): then each of its commands must say that it knows.
    fn at<T>(
        &self,
        key: &str,
        mut step: impl FnMut(&RedisStore, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut node = self.topology.owner(slot_of(key))?;
        let mut asking = false;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        for redirects in 0..=MOST_REDIRECTS {
            // One or two redirections are normal. After more of them, the nodes do not agree yet.
            if redirects > 2 {
                thread::sleep(shortened(backoff.next()));
            }
            let failure = match self.ask(&node, |store| step(store, asking)) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match Redirect::of(&failure, &node.address) {
                Some(Redirect::Moved(slot, to)) => {
                    node = self.topology.moved(slot, &to)?;
                    asking = false;
                }
                Some(Redirect::Ask(to)) => {
                    node = self.topology.node(&to)?;
                    asking = true;
                }
                Some(Redirect::SlotMigrating) => return Err(SlotMigrating::failure()),
                None => return Err(failure),
            }
        }
        let times = MOST_REDIRECTS + 1;
        Err(Failure::new(
            FailureKind::Partial,
            TooManyRedirects { times },
        ))
    }

    /// The same for a step with both keys of a record, which is refused where its slot is being moved.
    fn with<T>(
        &self,
        keys: &Keys,
        mut step: impl FnMut(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.at(&keys.data, |store, asking| {
            if asking {
                return Err(SlotMigrating::failure());
            }
            step(store)
        })
    }

    /// Asks one node.
    fn ask<T>(
        &self,
        node: &Node,
        step: impl FnOnce(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        node.ask(step).map_err(|failure| self.partly(failure))
    }

    /// What says nothing of the other nodes, if there are others that answer.
    fn partly(&self, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Unavailable {
            return failure;
        }
        self.topology.start_recovery();
        let map = self.topology.map();
        let is_all = map.nodes().len() < 2 || map.nodes().iter().all(|node| node.is_broken());
        let kind = if is_all {
            FailureKind::Unavailable
        } else {
            FailureKind::Partial
        };
        Failure { kind, ..failure }
    }

    fn look(&self, data: &str, with_ttl: bool) -> Result<(Entry, TtlRemaining), Failure> {
        self.at(data, |store, asking| {
            if asking {
                store.read_asking(data, with_ttl)
            } else if with_ttl {
                store.read_with_ttl(data)
            } else {
                Ok((store.read(data)?, TtlRemaining::NoTtl))
            }
        })
    }
}

impl Store for ClusterStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.look(data, false).map(|(entry, _)| entry)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.look(data, true)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: bool,
    ) -> Result<Acquire, Failure> {
        self.with(keys, |store| store.acquire(keys, token, lease_ttl, recheck))
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.with(keys, |store| store.refresh(keys, token, lease_ttl, left))
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.with(keys, |store| store.fill(keys, token, ttl, record))
    }

    /// Not asked of a node that is silent: a lease lapses, and whoever gives it back renews others.
    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        if self.topology.owner(slot_of(&keys.data))?.is_silent() {
            return Ok(false);
        }
        self.with(keys, |store| store.release(keys, token))
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.with(keys, |store| store.back_off(keys, token, pause))
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.with(keys, |store| store.renew(keys, token, lease_ttl))
    }

    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        self.renew_many(leases, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.invalidate(keys)))
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        self.invalidate_many(all)
    }

    fn read_all(&self, all: &[&str]) -> BatchResult<Entry> {
        self.read_many(all)
    }

    fn read_all_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        self.read_many_with_ttl(all)
    }

    fn acquire_all(
        &self,
        questions: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        self.acquire_many(questions, lease_ttl)
    }

    fn refresh_all(&self, all: &[RefreshRequest<'_>], lease_ttl: Duration) -> BatchResult<Refresh> {
        self.refresh_many(all, lease_ttl)
    }

    fn finish_all(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        self.finish_many(loads)
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.scan_step(prefix, kind, cursor)
    }

    /// While the record's slot is being moved, it is ended, and doesn't keep its grace.
    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.expire(keys, stay)))
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.with(keys, |store| store.guard(keys, writer, guard_ttl))
    }

    /// While the record's slot is being moved, it is invalidated, and this writer's place in the guard lapses.
    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.unguard(keys, writer)))
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        self.with(keys, |store| store.update_field(keys, field, value, ttl))
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.with(keys, |store| store.update(keys, ttl, change))
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.look(data, true).map(|(_, left)| left)
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        let topology = Arc::downgrade(&self.topology);
        let subscription = ClusterSubscription::new(prefix, bound, listener, move || {
            if let Some(topology) = topology.upgrade() {
                topology.start_recovery();
            }
        });
        self.topology.tell(&subscription);
        Some(Subscription::new(SubscriptionHandle(subscription)))
    }

    /// Answered if any node answers.
    fn ping(&self) -> Result<(), Failure> {
        let map = self.topology.map();
        let mut failure = None;
        for node in map.nodes() {
            match node.probe() {
                Ok(()) => return Ok(()),
                Err(silent) => failure = Some(silent),
            }
        }
        self.topology.start_recovery();
        failure.map_or(Ok(()), Err)
    }

    fn is_cluster(&self) -> bool {
        true
    }
}
