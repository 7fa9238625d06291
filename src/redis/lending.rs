//! Lends connections that one thread at a time may use, and opens new ones.
//!
//! Guarantees that at most `max` connections exist, that no caller waits longer than it wants to,
//! and that a connection which its manager refuses is closed and not lent. The connection that was
//! idle longest is lent first.
//!
//! Short-lived threads open the connections, because a caller may give up before one is open. Idle
//! connections are closed after a time, by a thread of their own.
//!
//! There is one lock, that of the state. No connection is opened, closed or checked under it. The
//! pool of `redis/pool.rs` calls it. It knows nothing of Redis.

mod lent;

use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub(crate) use self::lent::Lent;
use crate::util::{
    sync::{Condvar, Mutex},
    worker::{Worker, WorkerContext, contain_panic},
};

/// How many connections are opened at the same time. Three, so that one attempt that hangs does not
/// block the others.
const OPENING_AT_ONCE: u32 = 3;

/// How often idle connections are looked at, as a part of the time after which they are closed.
const LOOKS: u32 = 20;

/// Opens connections, and decides which ones are lent.
pub(crate) trait ManageConnection: Send + Sync + 'static {
    type Connection: Send + 'static;

    /// Opens a connection. A failure is kept by the manager.
    fn connect(&self) -> Option<Self::Connection>;

    /// Whether the connection may be lent. Called before each loan, so it should only compare.
    fn is_valid(&self, connection: &Self::Connection) -> bool;

    /// Whether the connection must be closed after a loan.
    fn has_broken(&self, connection: &Self::Connection) -> bool;
}

/// The connections. A clone shares them.
pub(crate) struct Pool<M: ManageConnection> {
    shared: Arc<Shared<M>>,
    /// Closes idle connections. Its drop ends the thread.
    closer: Arc<Worker>,
}

struct Shared<M: ManageConnection> {
    manager: M,
    max: u32,
    state: Mutex<State<M::Connection>>,
    /// Notified, with no lock held, after a connection has become free or an attempt has failed.
    changed: Condvar,
}

struct State<C> {
    idle: VecDeque<Idle<C>>,
    /// How many connections are open: idle or lent.
    open: u32,
    /// How many connections are to be opened. No thread has begun with them.
    wanted: u32,
    /// How many threads are opening connections.
    opening: u32,
    /// How many attempts to connect have failed.
    failures: u64,
    /// How many threads wait for a connection. As many idle ones are kept for them. Otherwise a
    /// thread that returns a connection and wants one again would always be the first.
    waiting: usize,
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

impl<M: ManageConnection> Pool<M> {
    /// Creates a pool of at most `max` connections, each of which is closed after `idle_timeout`
    /// without use. Opens none, and starts no thread.
    pub(crate) fn new(manager: M, max: u32, idle_timeout: Duration) -> Pool<M> {
        let shared = Arc::new(Shared {
            manager,
            max,
            state: Mutex::new(State {
                idle: VecDeque::new(),
                open: 0,
                wanted: 0,
                opening: 0,
                failures: 0,
                waiting: 0,
            }),
            changed: Condvar::new(),
        });
        let looked_at = Arc::clone(&shared);
        let close_idle = move |context: &WorkerContext| {
            while !context.pause_until(Instant::now() + idle_timeout / LOOKS) {
                looked_at.close_idle(idle_timeout);
            }
        };
        Pool {
            shared,
            closer: Arc::new(Worker::new("cache-aside-idle", close_idle)),
        }
    }

    /// A free connection, without a wait. If there is none, one is opened for a later caller.
    pub(crate) fn try_get(&self) -> Option<Lent<M>> {
        let lent = self.shared.take(false);
        if lent.is_none() {
            self.want();
        }
        lent
    }

    /// A free connection, or a new one. `None`: there was none within `timeout`, or the attempt to
    /// open the first one failed.
    pub(crate) fn get_timeout(&self, timeout: Duration) -> Option<Lent<M>> {
        let deadline = Instant::now() + timeout;
        let failures = self.shared.state.lock().failures;
        let lent = self.try_get();
        if lent.is_some() {
            return lent;
        }
        self.shared.state.lock().waiting += 1;
        let lent = loop {
            // Before the connection is looked for once more: a notification may have come with the
            // end of the wait, and then no other waiter gets it.
            let is_over = self.shared.wait(deadline, failures);
            let lent = self.shared.take(true);
            if lent.is_some() || is_over {
                break lent;
            }
        };
        self.shared.state.lock().waiting -= 1;
        lent
    }

    /// How many connections are open, and how many of them are idle.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.shared.state.lock();
        let idle = u32::try_from(state.idle.len()).unwrap_or(u32::MAX);
        (state.open, idle)
    }

    pub(crate) fn max_size(&self) -> u32 {
        self.shared.max
    }

    /// Has one more connection opened, if there may be more.
    fn want(&self) {
        let must_start = {
            let mut state = self.shared.state.lock();
            if state.open + state.opening + state.wanted >= self.shared.max {
                return;
            }
            state.wanted += 1;
            let must_start = state.opening < OPENING_AT_ONCE;
            state.opening += u32::from(must_start);
            state.wanted -= u32::from(must_start);
            must_start
        };
        // Without the thread, idle connections stay open until they are used.
        let _ = self.closer.update(|()| false);
        if must_start {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("cache-aside-connect".to_owned());
            if thread.spawn(move || shared.open()).is_err() {
                // Then this thread waits for the connection, for as long as that takes.
                self.shared.open();
            }
        }
    }
}

impl<M: ManageConnection> Clone for Pool<M> {
    fn clone(&self) -> Pool<M> {
        Pool {
            shared: Arc::clone(&self.shared),
            closer: Arc::clone(&self.closer),
        }
    }
}

impl<M: ManageConnection> std::fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<M: ManageConnection> Shared<M> {
    /// A connection that is idle and valid. If the caller has not waited, those for which others
    /// wait are left to them.
    fn take(self: &Arc<Self>, has_waited: bool) -> Option<Lent<M>> {
        loop {
            let Idle { connection, .. } = {
                let mut state = self.state.lock();
                if !has_waited && state.idle.len() <= state.waiting {
                    return None;
                }
                state.idle.pop_front()?
            };
            // From here on, the drop counts and closes a connection that is not valid.
            let lent = Lent::new(Arc::clone(self), connection);
            if self.manager.is_valid(&lent) {
                return Some(lent);
            }
            lent.close();
        }
    }

    /// Waits until a connection is free, but not beyond `deadline`. Returns whether the caller
    /// should not wait again: it is too late, or connecting has failed and no connection is open.
    fn wait(&self, deadline: Instant, failures: u64) -> bool {
        let mut state = self.state.lock();
        // No wake-up is lost: whoever changes the state needs the lock that the wait releases.
        loop {
            let has_failed = state.open == 0 && state.failures != failures;
            if has_failed || Instant::now() >= deadline {
                return true;
            }
            if !state.idle.is_empty() {
                return false;
            }
            state = self.changed.wait_until(state, deadline);
        }
    }

    /// Opens connections until no more are wanted. `opening` counts this thread.
    fn open(&self) {
        loop {
            let opened = contain_panic(|| self.manager.connect()).flatten();
            let is_last = {
                let mut state = self.state.lock();
                if let Some(connection) = opened {
                    state.open += 1;
                    state.idle.push_back(Idle {
                        connection,
                        since: Instant::now(),
                    });
                } else {
                    // The next attempts would fail, too. Callers that still want one ask again.
                    state.failures += 1;
                    state.wanted = 0;
                }
                let is_last = state.wanted == 0;
                if is_last {
                    state.opening -= 1;
                } else {
                    state.wanted -= 1;
                }
                is_last
            };
            self.changed.notify_all();
            if is_last {
                return;
            }
        }
    }

    fn close_idle(&self, timeout: Duration) {
        let now = Instant::now();
        let mut closed = Vec::new();
        {
            let mut state = self.state.lock();
            // The one that was idle longest is the first.
            while let Some(idle) = state.idle.pop_front() {
                if now.duration_since(idle.since) < timeout {
                    state.idle.push_front(idle);
                    break;
                }
                state.open -= 1;
                closed.push(idle.connection);
            }
        }
        drop(closed);
    }
}

#[cfg(test)]
mod tests;
