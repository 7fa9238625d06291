//! The calls by which a case reaches its point.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use crate::{
    caches::{Caches, UNTIL_STALE},
    calls::Caller,
    points::Call,
};

/// The records of one round. No other round has them.
pub(crate) struct Ids {
    pub(crate) one: String,
    pub(crate) other: String,
    /// Not cached yet.
    fresh: String,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        static ROUND: AtomicUsize = AtomicUsize::new(0);
        let round = ROUND.fetch_add(1, SeqCst);
        let id = |name| format!("{round}-{name}");
        Ids {
            one: id("one"),
            other: id("other"),
            fresh: id("fresh"),
        }
    }

    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.one, &self.other, &self.fresh]
    }
}

/// Makes a call, with others before it that it needs. `settle` waits for late replies: one that
/// comes while the next request waits cannot be told from the right one.
pub(crate) fn make(call: Call, caller: &Caller<'_>, caches: &Caches, ids: &Ids, settle: impl Fn()) {
    let Caches {
        plain,
        graced,
        near,
    } = caches;
    let Ids { one, other, fresh } = ids;
    match call {
        Call::Get => {
            for id in [one, other, fresh] {
                caller.get(plain, id);
                settle();
            }
        }
        Call::GetMany => caller.get_many(plain, &[one, other, fresh]),
        Call::GetSlow => caller.get_slow(plain, fresh),
        Call::GetFailing => caller.get_failing(plain, fresh),
        Call::Refresh => {
            caller.get(graced, one);
            thread::sleep(UNTIL_STALE);
            caller.get(graced, one);
            thread::sleep(UNTIL_STALE);
            caller.get_many(graced, &[one, other]);
        }
        Call::RefreshFailing => {
            caller.get(graced, one);
            thread::sleep(UNTIL_STALE);
            caller.get_failing(graced, one);
        }
        Call::Invalidate => caller.invalidate(plain, one),
        Call::InvalidateMany => caller.invalidate_many(plain, &[one, other]),
        // Without grace it would be an invalidation.
        Call::Expire => {
            caller.get(graced, fresh);
            caller.expire(graced, fresh);
        }
        Call::Write => caller.write(plain, one),
        Call::Update => {
            caller.get(plain, one);
            settle();
            caller.update(plain, one);
        }
        Call::UpdateField => {
            caller.get(plain, other);
            settle();
            caller.update_field(plain, other);
        }
        Call::Ttl => caller.ttl(plain, one),
        Call::Clear => caller.clear(plain, one),
        // Time for a probe.
        Call::Pause => thread::sleep(2 * UNTIL_STALE),
        Call::Near => {
            let Some(near) = near else { return };
            for _ in 0..3 {
                caller.get(near, one);
                settle();
                caller.get(near, one);
                // Some heartbeats of the listener, and the push of a change.
                caller.invalidate(near, one);
                thread::sleep(UNTIL_STALE);
            }
        }
    }
}
