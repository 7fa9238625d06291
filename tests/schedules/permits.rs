//! The permits of a limit of loads.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use shuttle::{
    check_dfs, check_pct, check_random,
    rand::{Rng, thread_rng},
};

use crate::load_limit::{LimitPermit, LoadLimit};
use crate::sync::{Instant, thread};

/// Holds the permit for a moment. No more than `most` threads are here at a time.
fn load(now: &AtomicUsize, most: usize, permit: LimitPermit) {
    assert!(now.fetch_add(1, SeqCst) < most);
    thread::yield_now();
    now.fetch_sub(1, SeqCst);
    drop(permit);
}

/// This many threads load once each, under a limit. A permit that is lost, or a wake-up, leaves a
/// thread waiting for ever.
fn all_load(threads: usize, most: usize) {
    let (limit, now) = (LoadLimit::new(most), Arc::new(AtomicUsize::new(0)));
    let spawned: Vec<_> = (0..threads)
        .map(|_| {
            let (limit, now) = (limit.clone(), Arc::clone(&now));
            thread::spawn(move || {
                let wait = limit.queue(Some("record"));
                let permit = wait.wait_until(Instant::NEVER).unwrap();
                load(&now, most, permit);
            })
        })
        .collect();
    for thread in spawned {
        thread.join().unwrap();
    }
    assert!(!limit.is_loading("record"));
    assert!((0..most).all(|_| limit.try_take(None).map(std::mem::forget).is_some()));
}

#[test]
fn permits_go_to_those_who_came_first_and_nobody_overtakes() {
    check_dfs(
        || {
            let limit = LoadLimit::new(1);
            let first = limit.try_take(Some("a")).unwrap();
            assert!(limit.is_loading("a") && limit.try_take(None).is_none());
            let (second, third) = (limit.queue(Some("b")), limit.queue(Some("c")));
            assert!(second.wait_until(Instant::now()).is_none());
            drop(first);
            assert!(!limit.is_loading("a") && limit.is_loading("b"));
            let now = Instant::now();
            assert!(limit.try_take(None).is_none() && third.wait_until(now).is_none());
            let permit = second.wait_until(now).unwrap();
            drop((second, permit));
            assert!(third.wait_until(now).is_some());
        },
        None,
    );
}

#[test]
fn a_permit_that_nobody_picks_up_goes_to_the_next() {
    check_dfs(
        || {
            let limit = LoadLimit::new(1);
            let first = limit.try_take(None);
            let (second, third) = (limit.queue(None), limit.queue(None));
            drop(first);
            drop(second);
            drop(third.wait_until(Instant::now()).unwrap());
            assert!(limit.try_take(None).is_some());
        },
        None,
    );
}

#[test]
fn each_of_three_threads_gets_the_only_permit() {
    check_dfs(|| all_load(3, 1), Some(20_000));
}

#[test]
fn each_of_many_threads_gets_a_permit() {
    check_random(|| all_load(8, 3), 1_000);
    check_pct(|| all_load(6, 2), 1_000, 3);
}

/// The cancellation may come before the wait, during it, or after the permit.
#[test]
fn a_wait_that_is_cancelled_ends_and_loses_no_permit() {
    check_dfs(
        || {
            let (limit, is_cancelled) = (LoadLimit::new(1), Arc::new(AtomicBool::new(false)));
            let first = limit.try_take(None);
            let waiting = {
                let (limit, is_cancelled) = (limit.clone(), Arc::clone(&is_cancelled));
                thread::spawn(move || {
                    let wait = limit.queue(Some("record"));
                    wait.wait_unless(Instant::NEVER, || is_cancelled.load(SeqCst))
                })
            };
            is_cancelled.store(true, SeqCst);
            limit.recheck_waits();
            assert!(waiting.join().unwrap().is_none());
            drop(first);
            assert!(limit.try_take(None).is_some());
        },
        None,
    );
}

/// A thread that gives up while a permit is handed to it passes the permit on.
#[test]
fn no_permit_is_lost_when_threads_give_up_or_take_one_at_once() {
    let threads = || {
        let (limit, now) = (LoadLimit::new(2), Arc::new(AtomicUsize::new(0)));
        let spawned: Vec<_> = (0..6)
            .map(|_| {
                let (limit, now) = (limit.clone(), Arc::clone(&now));
                thread::spawn(move || {
                    if thread_rng().gen_bool(0.3) {
                        if let Some(permit) = limit.try_take(None) {
                            load(&now, 2, permit);
                        }
                        return;
                    }
                    let wait = limit.queue(Some("record"));
                    let permit = wait.wait_until(Instant::soon());
                    drop(wait);
                    if let Some(permit) = permit {
                        load(&now, 2, permit);
                    }
                })
            })
            .collect();
        for thread in spawned {
            thread.join().unwrap();
        }
        assert!((0..2).all(|_| limit.try_take(None).map(std::mem::forget).is_some()));
    };
    check_random(threads, 1_000);
    check_pct(threads, 1_000, 3);
}
