//! Steps for many records: one request to each node that has some of them, all at the same time.

use std::{sync::Arc, time::Duration};

use super::{
    ClusterStore,
    node::Node,
    parallel::in_parallel,
    redirect::{Redirect, SlotMigrating},
    slots::slot_of,
};
use crate::{
    redis::single::RedisStore,
    store::{
        Acquire, AcquireRequest, BatchResult, Completion, CompletionKind, Entry, Failure,
        FailureKind, Refresh, RefreshRequest, Store, TtlRemaining, keys::Keys, token::Token,
    },
};

/// Those of the items that one node has, with their places among all.
struct NodeBatch<I> {
    node: Arc<Node>,
    places: Vec<usize>,
    items: Vec<I>,
}

impl ClusterStore {
    pub(super) fn read_many(&self, all: &[&str]) -> BatchResult<Entry> {
        let one = |data: &&str| self.read(data);
        self.each(all, |data| data, RedisStore::read_all, one)
    }

    pub(super) fn read_many_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        let one = |data: &&str| self.read_with_ttl(data);
        self.each(all, |data| data, RedisStore::read_all_with_ttl, one)
    }

    pub(super) fn acquire_many(
        &self,
        questions: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        self.each(
            questions,
            |question| &question.keys.data,
            |store, questions| store.acquire_all(questions, lease_ttl),
            |&AcquireRequest {
                 keys,
                 token,
                 recheck,
             }| self.acquire(keys, token, lease_ttl, recheck),
        )
    }

    pub(super) fn refresh_many(
        &self,
        all: &[RefreshRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Refresh> {
        self.each(
            all,
            |due| &due.keys.data,
            |store, all| store.refresh_all(all, lease_ttl),
            |due| self.refresh(due.keys, due.token, lease_ttl, due.left),
        )
    }

    pub(super) fn finish_many(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        let one = |&Completion { keys, token, end }: &Completion<'_>| match end {
            CompletionKind::Fill(ttl, record) => self.fill(keys, token, ttl, record),
            CompletionKind::Release => self.release(keys, token),
            CompletionKind::BackOff(pause) => self.back_off(keys, token, pause),
        };
        // Who only gives leases back is in no hurry, and others may wait for him.
        let gives_back = loads
            .iter()
            .all(|load| matches!(load.end, CompletionKind::Release));
        let not_given = |node: &Node| (gives_back && node.is_silent()).then_some(false);
        self.each_of(
            loads,
            |load| &load.keys.data,
            not_given,
            RedisStore::finish_all,
            one,
        )
    }

    /// What a node that doesn't answer was asked counts as renewed, for it isn't known to be lost; and a node that is silent
    /// is not asked, since the others' leases would lapse meanwhile.
    pub(super) fn renew_many(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let all: Vec<_> = leases.iter().collect();
        let maybe = |node: &Node| node.is_silent().then_some(true);
        let renewed = self.each_of(
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

    pub(super) fn invalidate_many(&self, all: &[&Keys]) -> BatchResult<bool> {
        let one = |keys: &&Keys| self.invalidate(keys);
        self.each(all, |keys| &keys.data, RedisStore::invalidate_all, one)
    }

    /// Done in one step where it can be, and in two while the slot is being moved.
    pub(super) fn or_migrating(
        &self,
        keys: &Keys,
        done: Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        match done {
            Err(failure) if SlotMigrating::is(&failure) => self.invalidate_migrating(keys),
            done => done,
        }
    }

    fn each<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        send: impl Fn(&RedisStore, &[I]) -> BatchResult<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> BatchResult<T> {
        self.each_of(all, key, |_| None, send, one)
    }

    /// Asks each node for its batch, unless there is something to say instead; then, of those that have moved, the nodes to which
    /// they have; and what is redirected still, one by one. It was not done, so also what must not be repeated is asked again.
    fn each_of<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        instead: impl Fn(&Node) -> Option<T> + Sync,
        send: impl Fn(&RedisStore, &[I]) -> BatchResult<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> BatchResult<T> {
        let mut answers: Vec<Option<Result<T, Failure>>> = all.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..all.len()).collect();
        for _ in 0..2 {
            let batches = self.batches(all, &left, &key)?;
            let each = in_parallel(&batches, |batch| {
                let said = batch.items.iter().map(|_| instead(&batch.node));
                if let Some(said) = said.collect::<Option<Vec<T>>>() {
                    return Ok(said.into_iter().map(Ok).collect());
                }
                self.ask(&batch.node, |store| send(store, &batch.items))
            });
            left.clear();
            for (batch, each) in batches.iter().zip(each) {
                self.sort(batch, each, &mut answers, &mut left)?;
            }
            if left.is_empty() {
                break;
            }
        }
        for address in left {
            answers[address] = Some(one(&all[address]));
        }
        let unasked = || Err(Failure::new(FailureKind::Rejected, "it was not asked"));
        let answers = answers.into_iter();
        Ok(answers.map(|it| it.unwrap_or_else(unasked)).collect())
    }

    /// Puts the answers of a node where they belong, and what it redirected to what is left.
    fn sort<I, T>(
        &self,
        batch: &NodeBatch<I>,
        each: BatchResult<T>,
        answers: &mut [Option<Result<T, Failure>>],
        left: &mut Vec<usize>,
    ) -> Result<(), Failure> {
        let each = match each {
            Ok(each) if each.len() == batch.items.len() => each,
            Ok(each) => {
                let (said, asked) = (each.len(), batch.items.len());
                let miscounted = format!("{said} answers to {asked} questions");
                return Err(Failure::new(FailureKind::Rejected, miscounted));
            }
            Err(failure) if failure.kind == FailureKind::Unavailable => return Err(failure),
            Err(failure) => batch.items.iter().map(|_| Err(failure.clone())).collect(),
        };
        for (address, answer) in batch.places.iter().zip(each) {
            let answer = answer.map_err(|failure| self.partly(failure));
            let failure = answer.as_ref().err();
            let redirect = failure.and_then(|it| Redirect::of(it, &batch.node.address));
            let is_found = match &redirect {
                Some(Redirect::Moved(slot, to)) => self.topology.moved(*slot, to).is_ok(),
                redirect => redirect.is_some(),
            };
            if is_found {
                left.push(*address);
            }
            answers[*address] = Some(answer);
        }
        Ok(())
    }

    /// Who is to be asked for those at these places.
    fn batches<I: Copy>(
        &self,
        all: &[I],
        places: &[usize],
        key: impl Fn(&I) -> &str,
    ) -> Result<Vec<NodeBatch<I>>, Failure> {
        let map = self.topology.map();
        let mut batches: Vec<NodeBatch<I>> = Vec::new();
        for &address in places {
            let node = map.owner(slot_of(key(&all[address])));
            let node = node.ok_or_else(|| {
                Failure::new(FailureKind::Unavailable, "no node of the cluster is known")
            })?;
            let at = batches
                .iter()
                .position(|batch| Arc::ptr_eq(&batch.node, node));
            let at = at.unwrap_or_else(|| {
                batches.push(NodeBatch {
                    node: Arc::clone(node),
                    places: Vec::new(),
                    items: Vec::new(),
                });
                batches.len() - 1
            });
            batches[at].places.push(address);
            batches[at].items.push(all[address]);
        }
        Ok(batches)
    }
}
