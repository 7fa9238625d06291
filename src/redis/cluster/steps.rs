//! The steps of the protocol on a cluster: each goes to the node that has the record's slot.
//!
//! Called through `Store`. The other files of this folder do the work: they choose the node, follow
//! redirections and split batches.

use std::{sync::Arc, time::Duration};

use super::{
    ClusterStore,
    node::Node,
    slots::slot_of,
    tracking::{ClusterSubscription, SubscriptionHandle},
};
use crate::{
    record::fields::Fields,
    redis::single::RedisStore,
    store::{
        Acquire, AcquireRequest, BatchResult, Change, ChangeListener, Completion, CompletionKind,
        Cursor, Entry, Failure, GuardRequest, KeyKind, NewTtl, Recheck, Refresh, RefreshRequest,
        ScanPage, Store, Subscription, TaggedStore, TtlRemaining, UnguardRequest, Update,
        VersionedStore, keys::Keys, token::Token,
    },
};

impl Store for ClusterStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.read_entry(data, false).map(|(entry, _)| entry)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.read_entry(data, true)
    }

    fn read_fields(&self, data: &str, names: &[&[u8]]) -> Result<(Entry, TtlRemaining), Failure> {
        self.at(data, |store, asking| {
            if asking {
                // The whole record: a redirected transaction would need a request more.
                let (entry, left) = store.read_asking(data, true)?;
                return Ok((entry.with_fields(names), left));
            }
            store.read_fields(data, names)
        })
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
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

    fn keep(&self, keys: &Keys, token: Token, ttl: Duration) -> Result<bool, Failure> {
        self.with(keys, |store| store.keep(keys, token, ttl))
    }

    /// Does not ask a silent node. The lease lapses anyway, and the same thread must also renew
    /// other leases.
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

    /// A lease on a node that does not answer counts as renewed, because it is not known to be
    /// lost. A silent node is not asked: meanwhile the leases on other nodes would lapse.
    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let all: Vec<_> = leases.iter().collect();
        let maybe = |node: &Node| node.is_silent().then_some(true);
        let renewed = self.each_unless(
            &all,
            |(keys, _)| &keys.data,
            maybe,
            |store, some| {
                let some: Vec<_> = some.iter().map(|lease| (*lease).clone()).collect();
                let renewed = store.renew_all(&some, lease_ttl)?;
                Ok(renewed.into_iter().map(Ok).collect())
            },
            |(keys, token)| self.renew(keys, *token, lease_ttl),
        );
        let renewed = renewed?.into_iter();
        Ok(renewed.map(|renewed| renewed.unwrap_or(true)).collect())
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.invalidate(keys)))
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        let one = |keys: &&Keys| self.invalidate(keys);
        self.each(all, |keys| &keys.data, RedisStore::invalidate_all, one)
    }

    fn read_all(&self, all: &[&str]) -> BatchResult<Entry> {
        let read = self.read_each(all, false)?.into_iter();
        Ok(read.map(|read| Ok(read?.0)).collect())
    }

    fn read_all_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        self.read_each(all, true)
    }

    fn acquire_all(
        &self,
        requests: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        self.each(
            requests,
            |request| &request.keys.data,
            |store, requests| store.acquire_all(requests, lease_ttl),
            |one| self.acquire(one.keys, one.token, lease_ttl, one.recheck),
        )
    }

    fn refresh_all(&self, all: &[RefreshRequest<'_>], lease_ttl: Duration) -> BatchResult<Refresh> {
        self.each(
            all,
            |due| &due.keys.data,
            |store, all| store.refresh_all(all, lease_ttl),
            |due| self.refresh(due.keys, due.token, lease_ttl, due.left),
        )
    }

    fn finish_all(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        // Giving leases back is not urgent, and a silent node would make other callers wait.
        let gives_back = loads
            .iter()
            .all(|load| matches!(load.end, CompletionKind::Release));
        let not_given = |node: &Node| (gives_back && node.is_silent()).then_some(false);
        self.each_unless(
            loads,
            |load| &load.keys.data,
            not_given,
            RedisStore::finish_all,
            |load| load.finish(self),
        )
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.scan_step(prefix, kind, cursor)
    }

    /// While the record's slot is being moved, this removes the record, and so keeps no grace.
    fn expire(&self, keys: &Keys, max_ttl: Duration) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.expire(keys, max_ttl)))
    }

    fn expire_all(&self, all: &[&Keys], max_ttl: Duration) -> BatchResult<bool> {
        self.each(
            all,
            |keys| &keys.data,
            |store, all| store.expire_all(all, max_ttl),
            |keys| self.expire(keys, max_ttl),
        )
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.with(keys, |store| store.guard(keys, writer, guard_ttl))
    }

    /// While the record's slot is being moved, this only invalidates the record; the writer's place
    /// in the guard lapses.
    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.or_migrating(keys, self.with(keys, |store| store.unguard(keys, writer)))
    }

    fn guard_all(&self, all: &[GuardRequest<'_>]) -> BatchResult<bool> {
        let one = |it: &GuardRequest<'_>| self.guard(it.keys, it.writer, it.guard_ttl);
        self.each(all, |it| &it.keys.data, RedisStore::guard_all, one)
    }

    fn unguard_all(&self, all: &[UnguardRequest<'_>]) -> BatchResult<bool> {
        let one = |it: &UnguardRequest<'_>| self.unguard(it.keys, it.writer);
        self.each(all, |it| &it.keys.data, RedisStore::unguard_all, one)
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
        self.read_entry(data, true).map(|(_, left)| left)
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
                topology.recovery.start();
            }
        });
        self.topology.tell(&subscription);
        Some(Subscription::new(SubscriptionHandle(subscription)))
    }

    /// Succeeds if any node answers.
    fn ping(&self) -> Result<(), Failure> {
        let map = self.topology.map();
        let mut failure = None;
        for node in map.nodes() {
            match node.probe() {
                Ok(()) => return Ok(()),
                Err(silent) => failure = Some(silent),
            }
        }
        self.topology.recovery.start();
        failure.map_or(Ok(()), Err)
    }

    fn versioned(&self) -> Option<&dyn VersionedStore> {
        Some(self)
    }

    fn tagged(&self) -> Option<&dyn TaggedStore> {
        Some(self)
    }

    fn is_cluster(&self) -> bool {
        true
    }
}
