//! Batches on a Redis server: requests of one kind in one pipeline.
//!
//! To the server, each is a separate request, and it may serve other clients in between.
//!
//! Called by the store on one server. The store on a cluster calls it for each node.

use std::{mem, ptr, time::Duration};

use redis::{Cmd, RedisResult, Value};

use super::store::RedisStore;
use crate::{
    redis::{
        connection::Connection,
        error::is_refusal,
        pipeline::{SMALL_REPLIES, Window},
        pool::{broken::Broken, run_request::RetryPolicy},
        script::{Script, args, call_all, reply},
    },
    store::{
        Acquire, AcquireRequest, BatchResult, Completion, CompletionKind, Entry, Failure,
        FailureKind, GuardRequest, Refresh, RefreshRequest, UnguardRequest, keys::Keys,
        token::Token,
    },
    util::limits::millis,
};

impl RedisStore {
    pub(super) fn read_many(&self, all: &[&str]) -> BatchResult<Entry> {
        let with_ttl = false;
        let entry = |answer: Result<(Entry, _), Failure>| answer.map(|(entry, _)| entry);
        Ok(self
            .read_each(all, with_ttl)?
            .into_iter()
            .map(entry)
            .collect())
    }

    pub(super) fn window_of_records(&self) -> Window {
        Window::of_records(self.queues.reply_size.bytes())
    }

    pub(super) fn acquire_many(
        &self,
        requests: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        let acquire = &self.scripts.acquire;
        let ask = |one: &AcquireRequest<'_>| {
            let mut ask = acquire.request(one.keys);
            args::write_acquire(&mut ask, one.keys, one.token, lease_ttl, one.recheck);
            ask
        };
        // A record is returned only if another caller has filled it meanwhile. If that caller had
        // the same batch, all are returned.
        let asked = requests.iter().map(ask);
        // All records of a batch belong to one cache, so either all have a floor or none has.
        let has_floor = requests.iter().any(|one| one.keys.floor.is_some());
        let read = |reply| reply::acquired(reply, has_floor);
        self.ask_once(self.window_of_records(), acquire, asked, read)
    }

    pub(super) fn refresh_many(
        &self,
        all: &[RefreshRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Refresh> {
        let refresh = &self.scripts.refresh;
        let ask = |due: &RefreshRequest<'_>| {
            let mut ask = refresh.request(due.keys);
            args::write_refresh(&mut ask, due.keys, due.token, lease_ttl, due.left);
            ask
        };
        let asked = all.iter().map(ask);
        let has_floor = all.iter().any(|due| due.keys.floor.is_some());
        let read = |reply| reply::refreshed(reply, has_floor);
        self.ask_once(self.window_of_records(), refresh, asked, read)
    }

    pub(super) fn finish_together(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        let script = |load: &Completion<'_>| match load.end {
            CompletionKind::Fill(..) | CompletionKind::FillAt(..) => &self.scripts.fill,
            CompletionKind::Keep(_) => &self.scripts.keep,
            CompletionKind::Release => &self.scripts.release,
            CompletionKind::BackOff(_) => &self.scripts.back_off,
        };
        let finish = |load: &Completion<'_>| {
            let mut request = script(load).request(load.keys);
            request.arg(load.token.as_bytes());
            match load.end {
                CompletionKind::Fill(ttl, record) => {
                    args::write_fill(&mut request, load.keys, ttl, record, None);
                }
                CompletionKind::FillAt(ttl, record, version) => {
                    args::write_fill(&mut request, load.keys, ttl, record, Some(version));
                }
                CompletionKind::Keep(ttl) => args::write_keep(&mut request, load.keys, ttl),
                CompletionKind::BackOff(pause) => {
                    request.arg(millis(pause));
                }
                CompletionKind::Release => {}
            }
            request
        };
        let mut scripts: Vec<&Script> = Vec::with_capacity(4);
        for script in loads.iter().map(script) {
            if !scripts.iter().any(|known| ptr::eq(*known, script)) {
                scripts.push(script);
            }
        }
        self.each(RetryPolicy::Idempotent, truth, |connection| {
            let finished = loads.iter().map(finish);
            call_all(connection, SMALL_REPLIES, &scripts, finished)
        })
    }

    pub(super) fn renew_many(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let renew = &self.scripts.renew;
        let request = |(keys, token): &(Keys, Token)| {
            let mut request = renew.request(keys);
            args::write_renew(&mut request, keys, *token, lease_ttl);
            request
        };
        let renewed = self.each(RetryPolicy::Idempotent, truth, |connection| {
            call_all(
                connection,
                SMALL_REPLIES,
                &[renew],
                leases.iter().map(request),
            )
        });
        renewed?.into_iter().collect()
    }

    pub(super) fn invalidate_many(&self, all: &[&Keys]) -> BatchResult<bool> {
        let invalidate = &self.scripts.invalidate;
        self.end_many(invalidate, all, |keys| {
            let mut request = invalidate.request(keys);
            args::write_invalidate(&mut request, keys, self.forces_change(), None);
            request
        })
    }

    pub(super) fn expire_many(&self, all: &[&Keys], max_ttl: Duration) -> BatchResult<bool> {
        let expire = &self.scripts.expire;
        self.end_many(expire, all, |keys| {
            let mut request = expire.request(keys);
            args::write_expire(&mut request, keys, max_ttl, self.forces_change());
            request
        })
    }

    pub(super) fn unguard_many(&self, all: &[UnguardRequest<'_>]) -> BatchResult<bool> {
        let (unguard, forces_change) = (&self.scripts.unguard, self.forces_change());
        self.end_many(unguard, all, |one| {
            let mut request = unguard.request(one.keys);
            args::write_unguard(
                &mut request,
                one.keys,
                one.writer,
                forces_change,
                None,
                None,
            );
            request
        })
    }

    /// Calls a script that ends a record for each item. Waits for replicas after all of them.
    fn end_many<I>(
        &self,
        script: &Script,
        all: &[I],
        request: impl Fn(&I) -> Cmd,
    ) -> BatchResult<bool> {
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            let ended = all.iter().map(&request);
            let ended = call_all(connection, SMALL_REPLIES, &[script], ended)?;
            let ended = ended.into_iter().map(Value::extract_error);
            self.sorted(ended.map(truth))
        })
    }

    pub(super) fn guard_many(&self, all: &[GuardRequest<'_>]) -> BatchResult<bool> {
        let guard = &self.scripts.guard;
        let request = |one: &GuardRequest<'_>| {
            let mut request = guard.request(one.keys);
            let nonce = Token::random();
            args::write_guard(&mut request, one.keys, one.writer, nonce, one.guard_ttl);
            request
        };
        self.each(RetryPolicy::Idempotent, truth, |connection| {
            let guarded = all.iter().map(request);
            call_all(connection, SMALL_REPLIES, &[guard], guarded)
        })
    }

    /// Sends requests that must not be repeated. If the connection breaks off, the requests without
    /// a reply fail, and the others keep their answers.
    fn ask_once<T>(
        &self,
        window: Window,
        script: &Script,
        requests: impl ExactSizeIterator<Item = Cmd>,
        read: impl Fn(Value) -> RedisResult<T>,
    ) -> BatchResult<T> {
        let count = requests.len();
        let mut is_loaded = false;
        let read = |replies: &mut Vec<RedisResult<Value>>| {
            let reply = replies.pop()?;
            // The first reply is that to loading the script.
            mem::replace(&mut is_loaded, true).then(|| read(reply?))
        };
        let commands = script.with_load(requests);
        let part = self.ask_part(RetryPolicy::Never, window, commands, read);
        match part.done {
            Err(broken) if part.answers.is_empty() || !broken.may_repeat => Err(broken.failure),
            done => {
                let mut answers = part.answers;
                if let Err(Broken { failure, .. }) = done {
                    // The server has answered the others.
                    let kind = FailureKind::Partial;
                    answers.resize_with(count, || {
                        Err(Failure {
                            kind,
                            ..failure.clone()
                        })
                    });
                }
                Ok(answers)
            }
        }
    }

    /// Sends requests, and reads the replies. A refusal concerns one request. An invalid reply
    /// concerns all requests, because it is not known which one it belongs to.
    fn each<T>(
        &self,
        retry_policy: RetryPolicy,
        read: impl Fn(RedisResult<Value>) -> RedisResult<T>,
        mut send: impl FnMut(&mut Connection) -> RedisResult<Vec<Value>>,
    ) -> BatchResult<T> {
        self.run(retry_policy, |connection| {
            let replies = send(connection)?.into_iter();
            self.sorted(replies.map(|reply| read(reply.extract_error())))
        })
    }

    /// The replies including refusals, or the error that fails all of them. If the server is no
    /// longer the master, all fail, so that they are sent again to the new one.
    fn sorted<T>(
        &self,
        each: impl Iterator<Item = RedisResult<T>>,
    ) -> RedisResult<Vec<Result<T, Failure>>> {
        let refused = |error| self.connections.failure(error);
        each.map(|read| match read {
            Err(error) if !is_refusal(&error) || self.is_demoted(&error) => Err(error),
            read => Ok(read.map_err(refused)),
        })
        .collect()
    }
}

fn truth(reply: RedisResult<Value>) -> RedisResult<bool> {
    reply::truth(&reply?)
}
