//! Steps for many records: one request to each node that has some of them, all at the same time.

use std::{sync::Arc, time::Duration};

use super::{
    ClusterStore,
    node::Node,
    parallel::at_the_same_time,
    redirect::{Redirect, Torn},
    slots::slot_of,
};
use crate::{
    redis::single::RedisStore,
    store::{
        Acquire, Due, Each, End, Entry, Failure, Finish, Question, Refresh, Store, Symptom,
        TtlRemaining, keys::Keys, token::Token,
    },
};

/// Those of the items that one node has, with their places among all.
struct Share<I> {
    node: Arc<Node>,
    places: Vec<usize>,
    items: Vec<I>,
}

impl ClusterStore {
    pub(super) fn read_many(&self, all: &[&str]) -> Each<Entry> {
        let one = |data: &&str| self.read(data);
        self.each(all, |data| data, RedisStore::read_all, one)
    }

    pub(super) fn read_many_with_ttl(&self, all: &[&str]) -> Each<(Entry, TtlRemaining)> {
        let one = |data: &&str| self.read_with_ttl(data);
        self.each(all, |data| data, RedisStore::read_all_with_ttl, one)
    }

    pub(super) fn acquire_many(
        &self,
        questions: &[Question<'_>],
        lease_ttl: Duration,
    ) -> Each<Acquire> {
        self.each(
            questions,
            |question| &question.keys.data,
            |store, questions| store.acquire_all(questions, lease_ttl),
            |&Question { keys, token, look }| self.acquire(keys, token, lease_ttl, look),
        )
    }

    pub(super) fn refresh_many(&self, all: &[Due<'_>], lease_ttl: Duration) -> Each<Refresh> {
        self.each(
            all,
            |due| &due.keys.data,
            |store, all| store.refresh_all(all, lease_ttl),
            |due| self.refresh(due.keys, due.token, lease_ttl, due.left),
        )
    }

    pub(super) fn finish_many(&self, loads: &[Finish<'_>]) -> Each<bool> {
        let one = |&Finish { keys, token, end }: &Finish<'_>| match end {
            End::Fill(ttl, record) => self.fill(keys, token, ttl, record),
            End::Release => self.release(keys, token),
            End::BackOff(pause) => self.back_off(keys, token, pause),
        };
        // Who only gives leases back is in no hurry, and others may wait for him.
        let gives_back = loads.iter().all(|load| matches!(load.end, End::Release));
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

    pub(super) fn invalidate_many(&self, all: &[&Keys]) -> Each<bool> {
        let one = |keys: &&Keys| self.invalidate(keys);
        self.each(all, |keys| &keys.data, RedisStore::invalidate_all, one)
    }

    /// Done in one step where it can be, and in two while the slot is being moved.
    pub(super) fn or_apart(
        &self,
        keys: &Keys,
        done: Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        match done {
            Err(failure) if Torn::is(&failure) => self.invalidate_apart(keys),
            done => done,
        }
    }

    fn each<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        send: impl Fn(&RedisStore, &[I]) -> Each<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> Each<T> {
        self.each_of(all, key, |_| None, send, one)
    }

    /// Asks each node for its share, unless there is something to say instead; then, of those that have moved, the nodes to which
    /// they have; and what is redirected still, one by one. It was not done, so also what must not be repeated is asked again.
    fn each_of<I: Copy + Sync + Send, T: Send>(
        &self,
        all: &[I],
        key: impl Fn(&I) -> &str,
        instead: impl Fn(&Node) -> Option<T> + Sync,
        send: impl Fn(&RedisStore, &[I]) -> Each<T> + Sync,
        one: impl Fn(&I) -> Result<T, Failure>,
    ) -> Each<T> {
        let mut answers: Vec<Option<Result<T, Failure>>> = all.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..all.len()).collect();
        for _ in 0..2 {
            let shares = self.shares(all, &left, &key)?;
            let each = at_the_same_time(&shares, |share| {
                let said = share.items.iter().map(|_| instead(&share.node));
                if let Some(said) = said.collect::<Option<Vec<T>>>() {
                    return Ok(said.into_iter().map(Ok).collect());
                }
                self.ask(&share.node, |store| send(store, &share.items))
            });
            left.clear();
            for (share, each) in shares.iter().zip(each) {
                self.sort(share, each, &mut answers, &mut left)?;
            }
            if left.is_empty() {
                break;
            }
        }
        for place in left {
            answers[place] = Some(one(&all[place]));
        }
        let unasked = || Err(Failure::new(Symptom::Refused, "it was not asked"));
        let answers = answers.into_iter();
        Ok(answers.map(|it| it.unwrap_or_else(unasked)).collect())
    }

    /// Puts the answers of a node where they belong, and what it redirected to what is left.
    fn sort<I, T>(
        &self,
        share: &Share<I>,
        each: Each<T>,
        answers: &mut [Option<Result<T, Failure>>],
        left: &mut Vec<usize>,
    ) -> Result<(), Failure> {
        let each = match each {
            Ok(each) if each.len() == share.items.len() => each,
            Ok(each) => {
                let (said, asked) = (each.len(), share.items.len());
                let miscounted = format!("{said} answers to {asked} questions");
                return Err(Failure::new(Symptom::Refused, miscounted));
            }
            Err(failure) if failure.symptom == Symptom::Silent => return Err(failure),
            Err(failure) => share.items.iter().map(|_| Err(failure.clone())).collect(),
        };
        for (place, answer) in share.places.iter().zip(each) {
            let answer = answer.map_err(|failure| self.partly(failure));
            let failure = answer.as_ref().err();
            let redirect = failure.and_then(|it| Redirect::of(it, &share.node.place));
            let is_found = match &redirect {
                Some(Redirect::Moved(slot, to)) => self.atlas.moved(*slot, to).is_ok(),
                redirect => redirect.is_some(),
            };
            if is_found {
                left.push(*place);
            }
            answers[*place] = Some(answer);
        }
        Ok(())
    }

    /// Who is to be asked for those at these places.
    fn shares<I: Copy>(
        &self,
        all: &[I],
        places: &[usize],
        key: impl Fn(&I) -> &str,
    ) -> Result<Vec<Share<I>>, Failure> {
        let map = self.atlas.map();
        let mut shares: Vec<Share<I>> = Vec::new();
        for &place in places {
            let node = map.owner(slot_of(key(&all[place])));
            let node = node
                .ok_or_else(|| Failure::new(Symptom::Silent, "no node of the cluster is known"))?;
            let at = shares
                .iter()
                .position(|share| Arc::ptr_eq(&share.node, node));
            let at = at.unwrap_or_else(|| {
                shares.push(Share {
                    node: Arc::clone(node),
                    places: Vec::new(),
                    items: Vec::new(),
                });
                shares.len() - 1
            });
            shares[at].places.push(place);
            shares[at].items.push(all[place]);
        }
        Ok(shares)
    }
}
