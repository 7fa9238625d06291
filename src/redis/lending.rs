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

use std::{
    collections::VecDeque,
    ops::{Deref, DerefMut},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

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
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// A connection that returns to its pool when it is dropped.
pub(crate) struct Lent<M: ManageConnection> {
    shared: Arc<Shared<M>>,
    /// `None` only during the drop.
    connection: Option<M::Connection>,
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
        let lent = self.shared.take();
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
        loop {
            // Before the connection is looked for once more: a notification may have come with the
            // end of the wait, and then no other waiter gets it.
            let is_over = self.shared.wait(deadline, failures);
            let lent = self.shared.take();
            if lent.is_some() || is_over {
                return lent;
            }
        }
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
    /// A connection that is idle and valid.
    fn take(self: &Arc<Self>) -> Option<Lent<M>> {
        loop {
            let Idle { connection, .. } = self.state.lock().idle.pop_front()?;
            // From here on, the drop counts and closes a connection that is not valid.
            let lent = Lent {
                shared: Arc::clone(self),
                connection: Some(connection),
            };
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

impl<M: ManageConnection> Lent<M> {
    /// Closes the connection.
    fn close(mut self) {
        drop(self.connection.take());
    }
}

impl<M: ManageConnection> Deref for Lent<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        self.connection.as_ref().expect("it is not dropped")
    }
}

impl<M: ManageConnection> DerefMut for Lent<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        self.connection.as_mut().expect("it is not dropped")
    }
}

impl<M: ManageConnection> Drop for Lent<M> {
    fn drop(&mut self) {
        let manager = &self.shared.manager;
        let kept = self.connection.take();
        let kept = kept.filter(|connection| !manager.has_broken(connection));
        {
            let mut state = self.shared.state.lock();
            if let Some(connection) = kept {
                state.idle.push_back(Idle {
                    connection,
                    since: Instant::now(),
                });
            } else {
                state.open -= 1;
            }
        }
        self.shared.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    };

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[derive(Default)]
    struct Facts {
        opened: AtomicU32,
        closed: AtomicU32,
        refuses: AtomicBool,
        panics: AtomicBool,
        hangs: AtomicBool,
    }

    struct Numbered(u32, Arc<Facts>, bool);

    impl Drop for Numbered {
        fn drop(&mut self) {
            self.1.closed.fetch_add(1, SeqCst);
        }
    }

    impl ManageConnection for Arc<Facts> {
        type Connection = Numbered;

        fn connect(&self) -> Option<Numbered> {
            while self.hangs.load(SeqCst) {
                thread::sleep(MS(1));
            }
            assert!(!self.panics.load(SeqCst), "as the test wants it");
            (!self.refuses.load(SeqCst)).then(|| {
                let number = self.opened.fetch_add(1, SeqCst);
                Numbered(number, Arc::clone(self), false)
            })
        }

        fn is_valid(&self, connection: &Numbered) -> bool {
            connection.0 != 0
        }

        fn has_broken(&self, connection: &Numbered) -> bool {
            connection.2
        }
    }

    fn pool(max: u32) -> (Pool<Arc<Facts>>, Arc<Facts>) {
        let facts = Arc::new(Facts::default());
        // The first connection would not be valid.
        facts.opened.store(1, SeqCst);
        (Pool::new(Arc::clone(&facts), max, MS(600_000)), facts)
    }

    #[test]
    fn connections_are_opened_when_needed_and_lent_again() {
        let (pool, facts) = pool(2);
        assert_eq!((pool.count(), pool.max_size()), ((0, 0), 2));
        let one = pool.get_timeout(MS(20_000)).unwrap();
        let other = pool.get_timeout(MS(20_000)).unwrap();
        assert_eq!(pool.count(), (2, 0));
        assert!(pool.try_get().is_none() && pool.get_timeout(MS(1)).is_none());
        drop(one);
        drop(other);
        assert_eq!(pool.count(), (2, 2));
        // The one that was idle longest.
        assert_eq!(pool.try_get().unwrap().0, 1);
        assert_eq!(pool.try_get().unwrap().0, 2);
        assert_eq!(facts.closed.load(SeqCst), 0);
        drop(pool);
        assert_eq!(facts.closed.load(SeqCst), 2);
    }

    #[test]
    fn a_connection_that_is_broken_or_not_valid_is_closed_and_makes_room() {
        let (pool, facts) = pool(1);
        facts.opened.store(0, SeqCst);
        let mut second = pool
            .get_timeout(MS(1))
            .or_else(|| pool.get_timeout(MS(20_000)));
        while second.is_none() {
            second = pool.get_timeout(MS(20_000));
        }
        let mut second = second.unwrap();
        assert_eq!((second.0, facts.closed.load(SeqCst)), (1, 1));
        second.2 = true;
        drop(second);
        assert_eq!((pool.count(), facts.closed.load(SeqCst)), ((0, 0), 2));
        assert_eq!(pool.get_timeout(MS(20_000)).unwrap().0, 2);
    }

    #[test]
    fn a_waiter_is_told_at_once_that_no_connection_can_be_opened() {
        let (pool, facts) = pool(4);
        for how in [&facts.refuses, &facts.panics] {
            how.store(true, SeqCst);
            let began = Instant::now();
            assert!(pool.get_timeout(MS(20_000)).is_none());
            assert!(began.elapsed() < MS(10_000));
            how.store(false, SeqCst);
        }
        assert!(pool.get_timeout(MS(20_000)).is_some());
    }

    #[test]
    fn a_caller_waits_no_longer_for_a_silent_server_than_it_wants_to() {
        let (pool, facts) = pool(4);
        facts.hangs.store(true, SeqCst);
        assert!(pool.get_timeout(MS(10)).is_none());
        facts.hangs.store(false, SeqCst);
        assert!(pool.get_timeout(MS(20_000)).is_some());
    }

    #[test]
    fn many_threads_share_few_connections_and_all_get_one() {
        let (pool, facts) = pool(3);
        let (all, lent) = (Barrier::new(16), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    all.wait();
                    for _ in 0..200 {
                        let connection = pool.get_timeout(MS(20_000)).unwrap();
                        assert!(lent.fetch_add(1, SeqCst) < 3);
                        lent.fetch_sub(1, SeqCst);
                        drop(connection);
                    }
                });
            }
        });
        assert!(facts.opened.load(SeqCst) <= 4);
    }

    #[test]
    fn a_connection_that_was_idle_for_too_long_is_closed() {
        let (_, facts) = pool(1);
        let pool = Pool::new(Arc::clone(&facts), 1, MS(20));
        drop(pool.get_timeout(MS(20_000)).unwrap());
        let deadline = Instant::now() + MS(20_000);
        while pool.count() != (0, 0) {
            assert!(Instant::now() < deadline);
            thread::sleep(MS(1));
        }
        assert_eq!(facts.closed.load(SeqCst), 1);
    }
}
