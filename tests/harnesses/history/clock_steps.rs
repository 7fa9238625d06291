//! Steps the clock of the cache's server by an hour.
//!
//! Called by the fault schedule. Before each step, it leaves the leases and the guard of a process
//! that has died. A step back lengthens them, and nobody renews or ends them.

use std::time::{Duration, Instant};

use cache_aside::{
    scripts::{ACQUIRE, GUARD},
    store::{Keys, Token},
};
use redis::{Connection, RedisResult, Script, ScriptInvocation, Value, cmd};

use crate::{
    environment::{LONGEST_LOOKUP, support::Server},
    random::Random,
    workers::LEASE_TTL,
};

const HOUR: i64 = 3600;

pub(crate) struct ClockSteps {
    /// The number of records.
    keys: u32,
    /// By how much the clock is shifted, in seconds.
    shift: i64,
    next: Instant,
    acquire: Script,
    guard: Script,
}

impl ClockSteps {
    pub(crate) fn of(keys: u32) -> ClockSteps {
        ClockSteps {
            keys,
            shift: 0,
            next: Instant::now(),
            acquire: Script::new(ACQUIRE),
            guard: Script::new(GUARD),
        }
    }

    /// Steps the clock if that is due, every few seconds. Returns what it did.
    pub(crate) fn step_if_due(
        &mut self,
        server: &Server,
        connection: &mut Connection,
        random: &mut Random,
    ) -> RedisResult<Option<&'static str>> {
        if Instant::now() < self.next {
            return Ok(None);
        }
        let is_back = self.shift > 0 || (self.shift == 0 && random.one_in(2));
        // After a step back long enough to detect a lookup that waits for what is dead.
        let longest = u64::try_from(LONGEST_LOOKUP.as_millis()).expect("it is short");
        self.next = Instant::now()
            + if is_back {
                random.millis(longest + 1000, longest + 2000)
            } else {
                random.millis(500, 1500)
            };
        self.die_in_mid_load(connection)?;
        self.die_in_mid_write(connection, random)?;
        let step = if is_back { -HOUR } else { HOUR };
        // The end of a pause is an instant of the clock too.
        cmd("CLIENT").arg("UNPAUSE").exec(connection)?;
        server.step_clock(step);
        self.shift += step;
        Ok(Some(if is_back {
            "clock set back"
        } else {
            "clock set forward"
        }))
    }

    /// Takes the lease of each record whose lease is free. No record is left that would hide it.
    fn die_in_mid_load(&self, connection: &mut Connection) -> RedisResult<()> {
        for key in 0..self.keys {
            cmd("DEL").arg(keys(key).data).exec(connection)?;
            let mut acquire = call(&self.acquire, key);
            acquire.arg(lease_ttl()).arg("skip");
            acquire.invoke::<Value>(connection)?;
        }
        Ok(())
    }

    /// Sets the guard of one record.
    fn die_in_mid_write(
        &self,
        connection: &mut Connection,
        random: &mut Random,
    ) -> RedisResult<()> {
        let key = random.below(self.keys.into());
        let key = u32::try_from(key).expect("it is below another");
        let mut guard = call(&self.guard, key);
        guard.arg(Token::random().as_bytes()).arg(lease_ttl());
        guard.invoke::<Value>(connection).map(drop)
    }
}

fn keys(key: u32) -> Keys {
    Keys::of(format!("history:k{key}"))
}

/// A call on the keys of a record, with a new token.
fn call(script: &Script, key: u32) -> ScriptInvocation<'_> {
    let keys = keys(key);
    let mut call = script.key(keys.data);
    call.key(keys.lease).arg(Token::random().as_bytes());
    call
}

fn lease_ttl() -> u64 {
    u64::try_from(Duration::as_millis(&LEASE_TTL)).expect("it is short")
}
