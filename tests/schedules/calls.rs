//! The table of calls in progress.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use shuttle::{check_dfs, check_pct, check_random};

use crate::single_flight::{SingleFlight, WaitOutcome};
use crate::sync::{Instant, thread};
use crate::util::wakeup::Wakeup;

type Table = Arc<SingleFlight<&'static str, u32>>;

fn table() -> Table {
    Arc::new(SingleFlight::new())
}

/// Works like a lookup: leads if no other thread does, else waits; starts again where the leader
/// gave up. Returns the loaded value.
fn look_up(table: &Table, loads: &AtomicU32) -> u32 {
    loop {
        let outcome = match table.start_or_find(&"key", "record") {
            Ok(leader) => {
                let outcome = loads.fetch_add(1, SeqCst);
                leader.unregister();
                leader.complete(outcome);
                return outcome;
            }
            Err(call) => call.wait_until(Instant::NEVER),
        };
        match outcome {
            WaitOutcome::Done(outcome) => return outcome,
            WaitOutcome::Abandoned => {}
            WaitOutcome::TimedOut => unreachable!("there was no deadline"),
        }
    }
}

/// As a load does that moves to a loader thread.
#[test]
fn a_call_that_another_thread_takes_over_frees_its_followers() {
    for completes in [true, false] {
        check_dfs(
            move || {
                let table = table();
                let detached = table.start("key", "record").detach();
                let follower = {
                    let table = Arc::clone(&table);
                    thread::spawn(move || match table.start_or_find(&"key", "record") {
                        Ok(_) => None,
                        Err(call) => Some(call.wait_until(Instant::NEVER)),
                    })
                };
                let leader = table.attach(detached);
                if completes {
                    leader.complete(7);
                }
                drop(leader);
                match follower.join().unwrap() {
                    None => {}
                    Some(WaitOutcome::Done(7)) => assert!(completes),
                    Some(outcome) => assert!(!completes && outcome == WaitOutcome::Abandoned),
                }
            },
            None,
        );
    }
}

#[test]
fn no_wake_up_is_lost_when_a_call_ends() {
    check_dfs(
        || {
            let table = table();
            let leader = table.start("key", "record");
            let follower = {
                let table = Arc::clone(&table);
                thread::spawn(move || match table.start_or_find(&"key", "record") {
                    Ok(_) => None,
                    Err(call) => Some(call.wait_until(Instant::NEVER)),
                })
            };
            leader.complete(7);
            drop(leader);
            let arrival = follower.join().unwrap();
            assert!(matches!(arrival, None | Some(WaitOutcome::Done(7))));
            assert!(table.start_or_find(&"key", "record").is_ok());
        },
        None,
    );
}

#[test]
fn no_wake_up_is_lost_when_a_leader_panics() {
    check_dfs(
        || {
            let table = table();
            let follower = {
                let table = Arc::clone(&table);
                thread::spawn(move || match table.start_or_find(&"key", "record") {
                    Ok(_) => None,
                    Err(call) => Some(call.wait_until(Instant::NEVER)),
                })
            };
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _leader = table.start("key", "record");
                // Like a loader's panic, without its message.
                resume_unwind(Box::new("the loader's own"));
            }));
            assert!(panicked.is_err());
            let arrival = follower.join().unwrap();
            assert!(matches!(arrival, None | Some(WaitOutcome::Abandoned)));
        },
        None,
    );
}

#[test]
fn every_lookup_ends_whoever_leads() {
    let queue = || {
        let (table, loads) = (table(), Arc::new(AtomicU32::new(0)));
        let lookups: Vec<_> = (0..3)
            .map(|_| {
                let (table, loads) = (Arc::clone(&table), Arc::clone(&loads));
                thread::spawn(move || look_up(&table, &loads))
            })
            .collect();
        for lookup in lookups {
            assert!(lookup.join().unwrap() < loads.load(SeqCst));
        }
        assert!(table.start_or_find(&"key", "record").is_ok());
    };
    check_random(queue, 2_000);
    check_pct(queue, 2_000, 3);
}

#[test]
fn those_whom_a_panic_left_behind_find_another_leader() {
    let queue = || {
        let (table, loads) = (table(), Arc::new(AtomicU32::new(0)));
        let leader = table.start("key", "record");
        let lookups: Vec<_> = (0..3)
            .map(|_| {
                let (table, loads) = (Arc::clone(&table), Arc::clone(&loads));
                thread::spawn(move || look_up(&table, &loads))
            })
            .collect();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _leader = leader;
            resume_unwind(Box::new("the loader's own"));
        }));
        assert!(panicked.is_err());
        for lookup in lookups {
            lookup.join().unwrap();
        }
        assert!(loads.load(SeqCst) >= 1);
    };
    check_random(queue, 2_000);
    check_pct(queue, 2_000, 3);
}

/// Either outcome is right, and no other: the result is not lost for the next waiter, and a waiter
/// whose time is over does not wait on.
#[test]
fn a_follower_whose_time_is_over_while_the_result_arrives_gets_one_or_the_other() {
    let (landed, timed_out) = (AtomicU32::new(0), AtomicU32::new(0));
    let counts = Arc::new((landed, timed_out));
    let for_all = Arc::clone(&counts);
    let race = move || {
        let table = table();
        let leader = table.start("key", "record");
        let call = table.start_or_find(&"key", "record").unwrap_err();
        let hasty = {
            let call = Arc::clone(&call);
            thread::spawn(move || call.wait_until(Instant::soon()))
        };
        let patient = thread::spawn(move || call.wait_until(Instant::NEVER));
        leader.complete(7);
        drop(leader);
        match hasty.join().unwrap() {
            WaitOutcome::Done(7) => &for_all.0,
            WaitOutcome::TimedOut => &for_all.1,
            other => panic!("{other:?}"),
        }
        .fetch_add(1, SeqCst);
        assert_eq!(patient.join().unwrap(), WaitOutcome::Done(7));
    };
    check_random(race, 4_000);
    // Both happened, or the test shows nothing.
    assert!(counts.0.load(SeqCst) > 100 && counts.1.load(SeqCst) > 100);
}

#[test]
fn a_finished_call_serves_late_followers_until_its_leader_unregisters() {
    check_dfs(
        || {
            let table = table();
            let leader = table.start("key", "record");
            leader.complete(7);
            let late = {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    let call = table.start_or_find(&"key", "record").err()?;
                    Some(call.wait_until(Instant::now()))
                })
            };
            drop(leader);
            let arrival = late.join().unwrap();
            assert!(matches!(arrival, None | Some(WaitOutcome::Done(7))));
        },
        None,
    );
}

#[test]
fn one_of_many_threads_starts_a_call_and_the_others_find_it() {
    check_dfs(
        || {
            let table = table();
            let other = {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    let found = table.start_or_find(&"key", "record");
                    found.is_err_and(|call| !call.is_led_by_this_thread())
                })
            };
            let leader = table.start_or_find(&"key", "record");
            let found = other.join().unwrap();
            // The other one has come and gone, or found ours, or we found its.
            match leader {
                Ok(_) => {}
                Err(call) => assert!(!found && !call.is_led_by_this_thread()),
            }
        },
        None,
    );
}

/// Also where the call ends while the thread subscribes to it.
#[test]
fn a_thread_that_waits_for_several_calls_is_woken_by_the_end_of_each() {
    check_dfs(
        || {
            let table = table();
            let leader = table.start("key", "record");
            let call = table.start_or_find(&"key", "record").unwrap_err();
            let waiting = thread::spawn(move || {
                let wakeup = Arc::new(Wakeup::new());
                call.subscribe(&wakeup, 3);
                (
                    wakeup.wait_until(Instant::NEVER),
                    call.wait_until(Instant::now()),
                )
            });
            leader.complete(7);
            drop(leader);
            let (numbers, outcome) = waiting.join().unwrap();
            assert_eq!(numbers, [3].into());
            assert_eq!(outcome, WaitOutcome::Done(7));
        },
        None,
    );
}
