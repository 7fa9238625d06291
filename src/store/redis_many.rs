//! The steps for many records on a Redis server, each kind in one go.
//!
//! Every one of them is a request of its own to the server, which does others in between.

use std::time::Duration;

use redis::{Connection, ErrorKind, RedisResult, Value, cmd, from_redis_value};

use super::{
    Acquire, Each, Entry, Failure, Finish, Question, cause,
    connection::Conduct,
    pipeline::{self, LARGE_REPLIES, SMALL_REPLIES},
    redis::{RedisStore, entry},
    script::{self, call_all},
};
use crate::{key::Keys, setting::millis, token::Token};

impl RedisStore {
    pub(super) fn read_many(&self, all: &[&str]) -> Each<Entry> {
        self.each(Conduct::Repeatable, entry, |connection| {
            let look = |data: &&str| {
                let mut look = cmd("HGETALL");
                look.arg(data);
                look
            };
            pipeline::stream(connection, LARGE_REPLIES, all.iter().map(look))
        })
    }

    pub(super) fn acquire_many(
        &self,
        questions: &[Question<'_>],
        lease_ttl: Duration,
    ) -> Each<Acquire> {
        let acquire = &self.scripts.acquire;
        let ask = |question: &Question<'_>| {
            let mut ask = acquire.request(question.keys);
            ask.arg(question.token.as_bytes()).arg(millis(lease_ttl));
            ask.arg(if question.look { "look" } else { "skip" });
            ask
        };
        let acquired = |reply: RedisResult<Value>| script::acquired(reply?);
        self.each(Conduct::Once, acquired, |connection| {
            let asked = questions.iter().map(ask);
            call_all(connection, LARGE_REPLIES, &[acquire], asked)
        })
    }

    pub(super) fn finish_many(&self, loads: &[Finish<'_>]) -> Each<bool> {
        let (fill, release) = (&self.scripts.fill, &self.scripts.release);
        let finish = |load: &Finish<'_>| {
            let mut finish = match load.entry {
                Some(_) => fill.request(load.keys),
                None => release.request(load.keys),
            };
            finish.arg(load.token.as_bytes());
            if let Some((ttl, record)) = load.entry {
                finish.arg(millis(ttl));
                for (name, value) in record {
                    finish.arg(name).arg(value);
                }
            }
            finish
        };
        let mut scripts = Vec::new();
        if loads.iter().any(|load| load.entry.is_some()) {
            scripts.push(fill);
        }
        if loads.iter().any(|load| load.entry.is_none()) {
            scripts.push(release);
        }
        self.each(Conduct::Repeatable, truth, |connection| {
            call_all(
                connection,
                SMALL_REPLIES,
                &scripts,
                loads.iter().map(finish),
            )
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
            request.arg(token.as_bytes()).arg(millis(lease_ttl));
            request
        };
        let renewed = self.each(Conduct::Repeatable, truth, |connection| {
            call_all(
                connection,
                SMALL_REPLIES,
                &[renew],
                leases.iter().map(request),
            )
        });
        renewed?.into_iter().collect()
    }

    pub(super) fn invalidate_many(&self, all: &[&Keys]) -> Each<bool> {
        let invalidate = &self.scripts.invalidate;
        let request = |keys: &&Keys| {
            let mut request = invalidate.request(keys);
            request.arg(Token::random().as_bytes());
            request
        };
        self.each(Conduct::Repeatable, truth, |connection| {
            call_all(
                connection,
                SMALL_REPLIES,
                &[invalidate],
                all.iter().map(request),
            )
        })
    }

    /// Sends requests, and reads what each reply means. A refusal concerns one request; what makes no sense concerns
    /// all, for nobody knows what it is the reply to.
    fn each<T>(
        &self,
        conduct: Conduct,
        read: impl Fn(RedisResult<Value>) -> RedisResult<T>,
        mut send: impl FnMut(&mut Connection) -> RedisResult<Vec<Value>>,
    ) -> Each<T> {
        let refused = |error| cause::failure(error, self.connections.io_timeout());
        self.run(conduct, |connection| {
            let replies = send(connection)?.into_iter();
            let each = replies.map(|reply| match read(reply.extract_error()) {
                Err(error) if !is_refusal(error.kind()) => Err(error),
                read => Ok(read.map_err(refused)),
            });
            each.collect()
        })
    }
}

fn truth(reply: RedisResult<Value>) -> RedisResult<bool> {
    Ok(from_redis_value(reply?)?)
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Server(_) | ErrorKind::Extension)
}
