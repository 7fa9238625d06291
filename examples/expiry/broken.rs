//! A store with one rule of the protocol broken, to see that it is found.

use std::{sync::Arc, time::Duration};

use cache_aside::{
    TtlRemaining,
    store::{Acquire, Change, Entry, Failure, Fields, Keys, NewTtl, Refresh, Store, Token, Update},
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The rule that is broken: of all who ask to load a record anew, one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Rule {
    /// All may
    All,
    /// Nobody may
    Nobody,
}

pub(crate) struct Broken {
    pub(crate) within: Arc<dyn Store>,
    pub(crate) rule: Rule,
}

impl Store for Broken {
    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        match self.rule {
            Rule::All => {
                let answer = self.within.refresh(keys, token, lease_ttl, left)?;
                Ok(match answer {
                    Refresh::Taken => Refresh::Acquired,
                    right => right,
                })
            }
            Rule::Nobody => Ok(Refresh::Taken),
        }
    }

    // All else is as it should be.

    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.within.read(data)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.within.read_with_ttl(data)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Failure> {
        self.within.acquire(keys, token, lease_ttl, look)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.within.fill(keys, token, ttl, record)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.within.release(keys, token)
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.within.back_off(keys, token, pause)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.within.renew(keys, token, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.within.invalidate(keys)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.within.expire(keys, stay)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.within.guard(keys, writer, guard_ttl)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.within.unguard(keys, writer)
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        self.within.update_field(keys, field, value, ttl)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.within.update(keys, ttl, change)
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.within.ttl(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.within.ping()
    }
}
