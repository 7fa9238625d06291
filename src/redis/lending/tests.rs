//! A pool of connections to nothing.

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
