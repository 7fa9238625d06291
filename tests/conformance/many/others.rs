//! Batches and other callers that want the same records: one load each, and no endless wait.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Cache,
    store::{Acquire, Floor, Recheck, Token},
};

use super::*;
use crate::{
    environment::{Environment, keys},
    support::until,
};

fn a_batch_shares_what_another_caller_loads(environment: &Environment) {
    for other_process in [false, true] {
        let cache = environment.cache();
        let other = if other_process {
            environment.cache()
        } else {
            cache.clone()
        };
        let began = Barrier::new(2);
        let id = if other_process { "theirs" } else { "ours" };
        let own = format!("own {id}");
        thread::scope(|scope| {
            scope.spawn(|| {
                other.get(id, |id| {
                    began.wait();
                    // The batch has loaded its own records by then, and waits.
                    until(|| cache.peek(&own).unwrap().is_some());
                    Ok::<_, Infallible>(Some(row(id, "other")))
                })
            });
            began.wait();
            let load = |missing: &[&str]| {
                assert_eq!(missing, [own.as_str()]);
                rows("own")(missing)
            };
            let found = cache.get_many([id, &own], load).unwrap();
            assert_eq!(versions(&found), ["other", "own"]);
            assert_eq!(sources(&found), [Source::Waited, Source::Loaded]);
        });
    }
}

fn a_single_lookup_shares_what_a_batch_loads(environment: &Environment) {
    for other_process in [false, true] {
        let cache = environment.cache();
        let other = if other_process {
            environment.cache()
        } else {
            cache.clone()
        };
        let began = Barrier::new(2);
        let ids = [1, 2].map(|n| format!("{other_process} {n}"));
        let misses = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                cache.get_many(&ids, |missing| {
                    began.wait();
                    // This batch's own records are among them.
                    let known = if other_process { 0 } else { 2 };
                    until(|| other.stats().misses > known);
                    misses.fetch_add(1, SeqCst);
                    rows("batch")(missing)
                })
            });
            began.wait();
            let found = other
                .get(&ids[1], |_| -> Result<Option<Record>, Infallible> {
                    panic!("the batch loads it")
                })
                .unwrap();
            assert_eq!(versions(std::slice::from_ref(&found)), ["batch"]);
            assert_eq!(found.source(), Source::Waited);
        });
        assert_eq!(misses.load(SeqCst), 1);
    }
}

/// Each holds a record that the other wants next, and loads it before it waits.
fn batches_that_wait_for_each_other_both_end(environment: &Environment) {
    for other_process in [false, true] {
        for round in 0..30 {
            let one = environment.cache();
            let two = if other_process {
                environment.cache()
            } else {
                one.clone()
            };
            let name = |letter| format!("{other_process} {round} {letter}");
            let (a, b, c) = (name('a'), name('b'), name('c'));
            let loads = AtomicU32::new(0);
            let start = Barrier::new(2);
            let load = |missing: &[&str]| {
                loads.fetch_add(u32::try_from(missing.len()).unwrap(), SeqCst);
                rows("1")(missing)
            };
            let began = Instant::now();
            let reads = |cache: &Cache, ids: [&str; 3]| {
                start.wait();
                let found = cache.get_many(ids, load).unwrap();
                assert_eq!(self::ids(&found), ids);
            };
            thread::scope(|scope| {
                scope.spawn(|| reads(&one, [&a, &b, &c]));
                scope.spawn(|| reads(&two, [&c, &b, &a]));
            });
            assert_eq!(loads.load(SeqCst), 3);
            assert!(began.elapsed() < Duration::from_secs(5));
        }
    }
}

/// Each often holds one of two records and waits for the other. If they did not load their own
/// records first, they would wait for each other.
fn batches_that_each_want_what_the_other_holds_both_end(environment: &Environment) {
    let long = Duration::from_secs(600);
    for round in 0..20 {
        let one = environment.cache();
        let two = if round % 2 == 0 {
            one.clone()
        } else {
            environment.cache()
        };
        let (a, b) = (format!("{round} a"), format!("{round} b"));
        let (stranger, lock) = (Token::random(), keys(&b));
        let store = environment.store();
        let held = store
            .acquire(&lock, stranger, long, Recheck::Never)
            .unwrap();
        assert_eq!(held, Acquire::Acquired(Floor::None));
        let loads = AtomicU32::new(0);
        let load = |missing: &[&str]| {
            loads.fetch_add(u32::try_from(missing.len()).unwrap(), SeqCst);
            rows("1")(missing)
        };
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| one.get_many([&a, &b], load).unwrap());
            until(|| environment.is_held(&a) || one.peek(&a).unwrap().is_some());
            scope.spawn(|| two.get_many([&b, &a], load).unwrap());
            let looked = || one.stats().misses + two.stats().misses + two.stats().hits;
            until(|| looked() >= 3);
            // So both have asked for the record that the stranger holds.
            thread::sleep(Duration::from_millis(5));
            assert!(store.release(&lock, stranger).unwrap());
        });
        assert_eq!(loads.load(SeqCst), 2, "each record once");
        assert!(began.elapsed() < Duration::from_secs(5), "in round {round}");
    }
}

/// Many batches of overlapping ids, with single lookups among them.
fn every_record_is_loaded_once_among_overlapping_batches(environment: &Environment) {
    const THREADS: usize = 8;
    const IDS: usize = 60;
    let caches = [environment.cache(), environment.cache()];
    let loads = Mutex::new(HashMap::<String, u32>::new());
    let load = |missing: &[&str]| {
        for id in missing {
            *loads.lock().unwrap().entry((*id).to_owned()).or_default() += 1;
        }
        thread::sleep(Duration::from_millis(2)); // the primary's latency
        rows("1")(missing)
    };
    let names: Vec<_> = (0..IDS).map(|id| format!("{id}")).collect();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (caches, names, load, start) = (&caches, &names, &load, &start);
            scope.spawn(move || {
                let cache = &caches[number % 2];
                start.wait();
                for step in 0..IDS {
                    let at = (step * 7 + number * 11) % IDS;
                    let some: Vec<_> = (0..9).map(|next| &*names[(at + next) % IDS]).collect();
                    let found = cache.get_many(&some, load).unwrap();
                    assert_eq!(ids(&found), some);
                    let one = &*names[(at + 20) % IDS];
                    let found =
                        cache.get(one, |id| load(&[id]).map(|mut rows: Rows| rows.remove(id)));
                    assert!(found.unwrap().record().is_some());
                }
            });
        }
    });
    let loads = loads.into_inner().unwrap();
    assert_eq!(loads.len(), IDS);
    assert!(loads.values().all(|loads| *loads == 1), "{loads:?}");
    for cache in caches {
        let stats = cache.stats();
        assert_eq!((stats.degraded, stats.refused_fills), (0, 0));
    }
}

/// A record that its holder gives up is loaded in another call.
fn what_others_give_up_is_loaded_in_a_later_call(environment: &Environment) {
    for other_process in [false, true] {
        let cache = environment.cache();
        let other = if other_process {
            environment.cache()
        } else {
            cache.clone()
        };
        let began = Barrier::new(2);
        let names = ["a", "b"].map(|id| format!("{id} {other_process}"));
        let [theirs, own] = &names;
        let calls = Mutex::new(Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    other.get(theirs, |_| -> Result<Option<Record>, Infallible> {
                        began.wait();
                        until(|| cache.peek(own).unwrap().is_some());
                        panic!("the loader's own")
                    })
                }))
            });
            began.wait();
            let load = |missing: &[&str]| {
                calls.lock().unwrap().push(missing.join(" "));
                rows("1")(missing)
            };
            let found = cache.get_many(&names, load).unwrap();
            assert_eq!(sources(&found), [Source::Loaded; 2]);
        });
        assert_eq!(*calls.lock().unwrap(), [own.clone(), theirs.clone()]);
    }
}

/// Two loads of other callers are in progress. The batch must not wait for the one that goes on.
fn of_two_loads_that_a_batch_waits_for_it_takes_over_the_one_that_is_given_up(
    environment: &Environment,
) {
    let cache = environment.cache();
    let begun = Barrier::new(3);
    let (taken_over, is_taken_over) = mpsc::channel();
    thread::scope(|scope| {
        let (cache, begun) = (&cache, &begun);
        scope.spawn(move || {
            cache.get("a", |id| {
                begun.wait();
                is_taken_over.recv_timeout(Duration::from_secs(20)).unwrap();
                Ok::<_, Infallible>(Some(row(id, "theirs")))
            })
        });
        scope.spawn(|| {
            let gives_up = AssertUnwindSafe(|| {
                let panics = |_: &str| -> Result<Option<Record>, Infallible> {
                    begun.wait();
                    // The batch has asked for both by now.
                    until(|| cache.stats().misses == 4);
                    panic!("the loader's own")
                };
                let _ = cache.get("b", panics);
            });
            assert!(catch_unwind(gives_up).is_err());
        });
        begun.wait();
        let found = cache.get_many(["a", "b"], |ids| {
            assert_eq!(ids, ["b"]);
            taken_over.send(()).unwrap();
            rows("ours")(ids)
        });
        assert_eq!(versions(&found.unwrap()), ["theirs", "ours"]);
    });
}

on_both_stores! {
    of_two_loads_that_a_batch_waits_for_it_takes_over_the_one_that_is_given_up,
    a_batch_shares_what_another_caller_loads,
    a_single_lookup_shares_what_a_batch_loads,
    batches_that_wait_for_each_other_both_end,
    batches_that_each_want_what_the_other_holds_both_end,
    every_record_is_loaded_once_among_overlapping_batches,
    what_others_give_up_is_loaded_in_a_later_call,
}
