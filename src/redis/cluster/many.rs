//! Batches on a cluster: one request to each node that has some of the records, all at the same
//! time.
//!
//! Called by the steps on a cluster. Guarantees an answer or a failure for each item, in the order
//! of the items.

use std::sync::Arc;

use super::{
    ClusterStore,
    node::Node,
    parallel::in_parallel,
    redirect::{Redirect, SlotMigrating},
    slots::slot_of,
};
use crate::{
    redis::{pool::send_ahead::SentAhead, single::RedisStore},
    store::{BatchResult, Entry, Failure, FailureKind, TtlRemaining, keys::Keys},
};

/// The items of one node, with their indices in the whole batch.
struct NodeBatch<I> {
    node: Arc<Node>,
    indices: Vec<usize>,
    items: Vec<I>,
}

impl ClusterStore {
    /// Does the step at once if possible. While the slot is being moved, does it in two steps.
    pub(super) fn or_migrating(
        &self,
        keys: &Keys,
        done: Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        match done {
            Err(failure) if SlotMigrating::is(&failure) => self.invalidate_migrating(keys, None),
            done => done,
        }
    }

    pub(super) fn each<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        send: impl Fn(&RedisStore, &[I]) -> BatchResult<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> BatchResult<T> {
        self.each_unless(all, key, |_| None, send, one)
    }

    /// Sends each node its batch, unless `instead` has an answer for that node.
    pub(super) fn each_unless<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        instead: impl Fn(&Node) -> Option<T> + Sync,
        send: impl Fn(&RedisStore, &[I]) -> BatchResult<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> BatchResult<T> {
        let ask = |batch: &NodeBatch<I>| {
            let said = batch.items.iter().map(|_| instead(&batch.node));
            if let Some(said) = said.collect::<Option<Vec<T>>>() {
                return Ok(said.into_iter().map(Ok).collect());
            }
            self.ask(&batch.node, |store| send(store, &batch.items))
        };
        let ask_all = |batches: &[NodeBatch<I>]| in_parallel(batches, ask);
        self.each_of(all, key, ask_all, one)
    }

    /// Reads entries. Sends the reads to all nodes before it waits for any of them.
    pub(super) fn read_each(
        &self,
        all: &[&str],
        with_ttl: bool,
    ) -> BatchResult<(Entry, TtlRemaining)> {
        let one = |data: &&str| self.read_entry(data, with_ttl);
        let ask_all = |batches: &[NodeBatch<&str>]| self.read_batches(batches, with_ttl);
        self.each_of(all, |data| data, ask_all, one)
    }

    /// What was not sent ahead is asked for on separate threads meanwhile: the replies may be
    /// large, or the node may be silent.
    fn read_batches(
        &self,
        batches: &[NodeBatch<&str>],
        with_ttl: bool,
    ) -> Vec<BatchResult<(Entry, TtlRemaining)>> {
        let send_ahead = |NodeBatch { node, items, .. }: &NodeBatch<&str>| {
            let is_useful = batches.len() > 1 && !node.is_suspect();
            is_useful.then(|| node.store.send_reads(items, with_ttl))?
        };
        let sent: Vec<Option<SentAhead>> = batches.iter().map(send_ahead).collect();
        let unsent = batches.iter().zip(&sent).filter(|(_, sent)| sent.is_none());
        let unsent: Vec<_> = unsent.map(|(batch, _)| batch).collect();
        let read = in_parallel(&unsent, |batch| {
            self.ask(&batch.node, |store| store.read_each(&batch.items, with_ttl))
        });
        let mut read = read.into_iter();
        let finish = |(batch, sent): (&NodeBatch<&str>, Option<SentAhead>)| match sent {
            Some(sent) => Some(self.ask(&batch.node, |store| {
                store.finish_reads(&batch.items, with_ttl, sent)
            })),
            None => read.next(),
        };
        batches.iter().zip(sent).filter_map(finish).collect()
    }

    /// Asks each node for its batch by `ask_all`. Redirected items then go to their new nodes, and
    /// items that are redirected again go one by one. A redirected request was not done. So it may
    /// be sent again even if it must not be repeated.
    fn each_of<I: Copy, T>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        ask_all: impl Fn(&[NodeBatch<I>]) -> Vec<BatchResult<T>>,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> BatchResult<T> {
        let mut answers: Vec<Option<Result<T, Failure>>> = all.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..all.len()).collect();
        for _ in 0..2 {
            let batches = self.batches(all, &left, &key)?;
            let each = ask_all(&batches);
            left.clear();
            for (batch, each) in batches.iter().zip(each) {
                self.sort(batch, each, &mut answers, &mut left)?;
            }
            if left.is_empty() {
                break;
            }
        }
        for index in left {
            answers[index] = Some(one(&all[index]));
        }
        let unasked = || Err(Failure::new(FailureKind::Rejected, "it was not asked"));
        let answers = answers.into_iter();
        Ok(answers.map(|it| it.unwrap_or_else(unasked)).collect())
    }

    /// Puts the answers of a node in their positions, and the redirected items into `left`.
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
                let miscounted = format!("the node gave {said} answers to {asked} questions");
                return Err(Failure::new(FailureKind::Rejected, miscounted));
            }
            Err(failure) if failure.kind == FailureKind::Unavailable => return Err(failure),
            Err(failure) => batch.items.iter().map(|_| Err(failure.clone())).collect(),
        };
        for (index, answer) in batch.indices.iter().zip(each) {
            let answer = answer.map_err(|failure| self.partly(failure));
            let failure = answer.as_ref().err();
            let redirect = failure.and_then(|it| Redirect::of(it, &batch.node.address));
            let is_found = match &redirect {
                Some(Redirect::Moved(slot, to)) => {
                    self.topology.moved(*slot, to, &batch.node).is_ok()
                }
                redirect => redirect.is_some(),
            };
            if is_found {
                left.push(*index);
            }
            answers[*index] = Some(answer);
        }
        Ok(())
    }

    /// Groups the items with these indices by node.
    fn batches<I: Copy>(
        &self,
        all: &[I],
        indices: &[usize],
        key: impl Fn(&I) -> &str,
    ) -> Result<Vec<NodeBatch<I>>, Failure> {
        let map = self.topology.map();
        let mut batches: Vec<NodeBatch<I>> = Vec::new();
        for &index in indices {
            let node = map.owner(slot_of(key(&all[index])));
            let node = node.ok_or_else(|| {
                Failure::new(FailureKind::Unavailable, "no node of the cluster is known")
            })?;
            let at = batches
                .iter()
                .position(|batch| Arc::ptr_eq(&batch.node, node));
            let at = at.unwrap_or_else(|| {
                batches.push(NodeBatch {
                    node: Arc::clone(node),
                    indices: Vec::new(),
                    items: Vec::new(),
                });
                batches.len() - 1
            });
            batches[at].indices.push(index);
            batches[at].items.push(all[index]);
        }
        Ok(batches)
    }
}
