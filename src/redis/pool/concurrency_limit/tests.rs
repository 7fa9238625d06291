//! The limit of connections for servers of several kinds, with simulated times of requests.

use std::{sync::mpsc, thread};

use super::*;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(20);

/// The limit after many round trips, each of a time that depends on the limit, while callers
/// wait.
fn settled(most: u32, took: impl Fn(u32) -> Duration) -> u32 {
    let limit = ConcurrencyLimit::new(most);
    limit.waiting.store(1, SeqCst);
    limit.adapt(took(1));
    for _ in 0..50_000 {
        limit.adapt(took(limit.limit.load(SeqCst)));
    }
    limit.limit.load(SeqCst)
}

fn taken(limit: &ConcurrencyLimit) -> u32 {
    limit.taken.load(SeqCst)
}

#[test]
fn a_server_that_does_one_request_after_another_gets_few_connections() {
    let limit = settled(128, |limit| MS * limit);
    assert!((4..=7).contains(&limit), "{limit}");
}

#[test]
fn a_long_way_with_an_idle_server_gets_all_connections() {
    assert_eq!(settled(128, |_| 2 * MS), 128);
}

#[test]
fn a_long_way_gets_as_many_as_keep_a_few_waiting_at_the_server() {
    // 20 requests are on the wire, and the server does one in a tenth of a millisecond.
    let took = |limit: u32| (2 * MS).max(MS * limit / 10);
    let limit = settled(128, took);
    assert!((20..=27).contains(&limit), "{limit}");
}

#[test]
fn it_is_never_more_than_the_pool_nor_less_than_a_few() {
    assert_eq!(settled(3, |_| 2 * MS), 3);
    assert_eq!(settled(16, |_| 2 * MS), 16);
    assert_eq!(settled(2, |limit| MS * limit * limit), 2);
    assert_eq!(settled(16, |limit| MS * limit.pow(4)), LOWEST);
}

#[test]
fn while_nobody_waits_it_does_not_rise() {
    let limit = ConcurrencyLimit::new(16);
    for _ in 0..1_000 {
        limit.adapt(MS);
    }
    assert_eq!(limit.limit.load(SeqCst), LOWEST);
}

#[test]
fn a_caller_beyond_the_limit_waits_for_a_permit_that_becomes_free() {
    let limit = ConcurrencyLimit::new(16);
    limit.round_trips.lock().average = LONG;
    let mut permits: Vec<_> = (0..LOWEST).map(|_| limit.try_enter().unwrap()).collect();
    assert!(limit.try_enter().is_none());
    let (entered, has_entered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let permit = limit.enter(Instant::now() + LONG);
            entered.send(()).unwrap();
            permit
        });
        while limit.waiting.load(SeqCst) == 0 {
            thread::yield_now();
        }
        assert!(has_entered.try_recv().is_err());
        permits.pop();
        has_entered.recv_timeout(LONG).unwrap();
    });
    assert_eq!(taken(&limit), LOWEST - 1);
}

#[test]
fn a_silent_server_keeps_a_caller_waiting_for_a_few_round_trips_only() {
    let limit = ConcurrencyLimit::new(16);
    limit.round_trips.lock().average = MS;
    let silent: Vec<_> = (0..LOWEST)
        .map(|_| limit.enter(Instant::now() + LONG))
        .collect();
    // It returns, although no permit becomes free.
    let beyond = limit.enter(Instant::now() + LONG);
    assert_eq!(taken(&limit), LOWEST + 1);
    drop((silent, beyond));
    assert_eq!(taken(&limit), 0);
}

#[test]
fn a_caller_waits_no_longer_than_its_deadline() {
    let limit = ConcurrencyLimit::new(16);
    limit.round_trips.lock().average = LONG;
    let _silent: Vec<_> = (0..LOWEST).map(|_| limit.try_enter().unwrap()).collect();
    let began = Instant::now();
    let _beyond = limit.enter(began + MS);
    assert!(began.elapsed() < LONG);
    assert_eq!(taken(&limit), LOWEST + 1);
}
