//! Waiters of other processes are notified by pushes of Redis, and do not poll meanwhile.
//!
//! A cache on a pool of its own stands for a process: it shares neither loads nor connections.

use std::{
    convert::Infallible,
    sync::{
        Barrier, Mutex,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    listeners,
    support::{Server, acl, load_loaf, loaf, until},
};
use cache_aside::{Cache, CacheBuilder, Memory, Record, Redis, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Longer than any test waits: a waiter that polls once more is detected.
const NEVER: Duration = Duration::from_secs(9);

fn settings(cache: CacheBuilder) -> CacheBuilder {
    cache.prefix("test:").lease_ttl(NEVER).poll(NEVER)
}

fn process(server: &Server) -> Cache {
    let cache = settings(Cache::builder(server.url())).tracking(true);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    cache
}

fn scripts_called(server: &Server) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut server.connect())
        .unwrap();
    let calls = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = calls.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// One cache loads `k` until this long after the others have missed it. Returns how long after the
/// end of the load each of them answered, and its source.
fn stampede(
    leader: &Cache,
    waiters: &[Cache],
    time: Duration,
    outcome: fn() -> Option<Record>,
) -> Vec<(Duration, Source)> {
    let misses = |waiter: &Cache| waiter.stats().misses;
    let before: Vec<_> = waiters.iter().map(misses).collect();
    let all_have_missed = || {
        waiters
            .iter()
            .map(misses)
            .zip(&before)
            .all(|(now, before)| now > *before)
    };
    let loads = Barrier::new(waiters.len() + 1);
    let ended = Mutex::new(Instant::now());
    thread::scope(|scope| {
        let lead = scope.spawn(|| {
            leader.get("k", |_| {
                loads.wait();
                until(all_have_missed);
                thread::sleep(time);
                *ended.lock().unwrap() = Instant::now();
                Ok::<_, Infallible>(outcome())
            })
        });
        let wait = |waiter: &Cache| {
            loads.wait();
            let found = waiter.get("k", load_loaf).unwrap();
            (ended.lock().unwrap().elapsed(), found.source())
        };
        let waiting: Vec<_> = waiters
            .iter()
            .map(|waiter| scope.spawn(move || wait(waiter)))
            .collect();
        assert_eq!(lead.join().unwrap().unwrap().source(), Source::Loaded);
        waiting
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect()
    })
}

#[test]
fn waiters_of_other_processes_answer_when_the_record_is_there_and_ask_nothing_meanwhile() {
    let server = Server::start();
    let (leader, waiters) = (process(&server), [(); 4].map(|()| process(&server)));
    for _ in 0..20 {
        leader.invalidate("k").unwrap();
        let before = scripts_called(&server);
        for (late, source) in stampede(&leader, &waiters, MS(100), || Some(loaf())) {
            assert_eq!(source, Source::Waited);
            assert!(late < MS(1000), "{late:?}");
        }
        // The leader's acquire and fill. Each waiter sends one request, one for that acquire, and
        // one or two for the fill, which ends a lease and sets a record.
        let asked = scripts_called(&server) - before;
        assert!(asked <= 2 + 4 * waiters.len() as u64, "{asked} questions");
    }
}

#[test]
fn a_lease_that_is_given_back_wakes_them_and_one_after_the_other_loads() {
    let server = Server::start();
    let (leader, waiters) = (process(&server), [(); 3].map(|()| process(&server)));
    let answers = stampede(&leader, &waiters, MS(100), || None);
    assert!(
        answers.iter().all(|(late, _)| *late < MS(1000)),
        "{answers:?}"
    );
    let loaded = answers
        .iter()
        .filter(|(_, source)| *source == Source::Loaded);
    assert_eq!(loaded.count(), 1, "{answers:?}");
}

#[test]
fn an_invalidation_in_mid_load_wakes_them() {
    let server = Server::start();
    let (leader, waiter) = (process(&server), process(&server));
    let (has_read, was_read) = channel();
    let (let_go, may_go) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            leader.get("k", move |id| {
                has_read.send(()).unwrap();
                may_go.recv_timeout(NEVER).unwrap();
                load_loaf(id)
            })
        });
        was_read.recv_timeout(NEVER).unwrap();
        let waiting = scope.spawn(|| waiter.get("k", load_loaf).unwrap().source());
        until(|| waiter.stats().misses == 1);
        thread::sleep(MS(50));
        let began = Instant::now();
        server.cache().invalidate("k").unwrap();
        // The first load is still in progress.
        assert_eq!(waiting.join().unwrap(), Source::Loaded);
        assert!(began.elapsed() < MS(1000));
        let_go.send(()).unwrap();
    });
}

#[test]
fn a_holder_that_died_frees_them_when_its_lease_lapses() {
    let server = Server::start();
    let cache = Cache::builder(server.url())
        .prefix("test:")
        .poll(NEVER)
        .tracking(true);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    let token = "0123456789abcdef0123456789abcdef";
    let mut lease = redis::cmd("SET");
    lease.arg("lock:{test:k}").arg(token).arg("PX").arg(300);
    lease.exec(&mut server.connect()).unwrap();
    let began = Instant::now();
    assert_eq!(cache.get("k", load_loaf).unwrap().source(), Source::Loaded);
    assert!(
        (MS(200)..MS(1000)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
}

/// The listener's messages would be missed meanwhile, so they poll.
#[test]
fn where_the_listener_is_lost_they_poll() {
    let server = Server::start();
    let polls = |cache: CacheBuilder| cache.prefix("test:").lease_ttl(NEVER).poll(MS(10));
    let redis = || Redis::builder(server.url()).build().unwrap();
    let leader: Cache = polls(Cache::builder(redis())).build().unwrap();
    // The loss itself notifies, not the end of the bound.
    let waiter: Cache = polls(Cache::builder(redis()))
        .near_staleness(MS(60_000))
        .tracking(true)
        .build()
        .unwrap();
    until(|| waiter.stats().tracking_live);
    let (has_read, was_read) = channel();
    let (let_go, may_go) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            leader.get("k", move |id| {
                has_read.send(()).unwrap();
                may_go.recv_timeout(NEVER).unwrap();
                load_loaf(id)
            })
        });
        was_read.recv_timeout(NEVER).unwrap();
        let waiting = scope.spawn(|| waiter.get("k", load_loaf).unwrap().source());
        until(|| waiter.stats().misses == 1);
        thread::sleep(MS(50));
        let asked = scripts_called(&server);
        thread::sleep(MS(200));
        assert_eq!(scripts_called(&server), asked, "it waits to be woken");
        // No connection may track any more.
        server.expect_denials();
        let (mut admin, user) = (server.connect(), acl::user());
        // Redis 6 can only forbid whole commands, and this user may be the one that looks.
        let deny = ["SETUSER", user, "-client", "+client|list", "+client|kill"];
        redis::cmd("ACL").arg(&deny).exec(&mut admin).unwrap();
        let id = listeners::of(&mut admin)[0];
        listeners::kill(&mut admin, id);
        until(|| !waiter.stats().tracking_live);
        until(|| scripts_called(&server) > asked + 5);
        let_go.send(()).unwrap();
        assert_eq!(waiting.join().unwrap(), Source::Waited);
    });
}

/// A load of `id` that is in progress until the returned sender is used.
fn held_load<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    cache: &'env Cache,
    id: &'static str,
) -> Sender<()> {
    let ((has_read, was_read), (let_go, may_go)) = (channel(), channel());
    scope.spawn(move || {
        cache.get(id, move |id| {
            has_read.send(()).unwrap();
            may_go.recv_timeout(NEVER).unwrap();
            load_loaf(id)
        })
    });
    was_read.recv_timeout(NEVER).unwrap();
    let_go
}

/// Its loader gets the ids that no other caller loads.
fn get_many(cache: &Cache, ids: [&str; 3]) -> Vec<Source> {
    let load = |missing: &[&str]| {
        assert_eq!(missing, ["own"]);
        Ok::<_, Infallible>(vec![("own", loaf())])
    };
    let found = cache.get_many(ids, load).unwrap();
    found.iter().map(cache_aside::Lookup::source).collect()
}

#[test]
fn a_batch_is_woken_by_each_lease_that_it_waits_for_and_asks_nothing_meanwhile() {
    let server = Server::start();
    let (one, two, waiter) = (process(&server), process(&server), process(&server));
    thread::scope(|scope| {
        let let_go = [held_load(scope, &one, "a"), held_load(scope, &two, "b")];
        let waiting = scope.spawn(|| get_many(&waiter, ["a", "own", "b"]));
        // Its first read, and its own load.
        until(|| waiter.stats().misses == 3 && waiter.stats().loads == 1);
        // The pushes of its own fill may wake it once.
        thread::sleep(MS(50));
        let asked = scripts_called(&server);
        thread::sleep(MS(300));
        assert_eq!(scripts_called(&server), asked, "it waits to be woken");
        let began = Instant::now();
        for let_go in let_go {
            let_go.send(()).unwrap();
        }
        let sources = waiting.join().unwrap();
        assert_eq!(sources, [Source::Waited, Source::Loaded, Source::Waited]);
        assert!(began.elapsed() < MS(2000), "{:?}", began.elapsed());
        // Each load sends its fill; for each of these the batch sends a request or two.
        let asked = scripts_called(&server) - asked;
        assert!(asked <= 2 + 4, "{asked} requests");
    });
}

#[test]
fn a_batch_that_follows_a_load_of_its_process_is_woken_by_another_process_as_well() {
    let server = Server::start();
    let (other, cache) = (process(&server), process(&server));
    for other_is_first in [true, false] {
        cache.invalidate_many(["a", "b", "own"]).unwrap();
        thread::scope(|scope| {
            let of_other = held_load(scope, &other, "a");
            let of_own = held_load(scope, &cache, "b");
            let loads = cache.stats().loads;
            let waiting = scope.spawn(|| get_many(&cache, ["a", "own", "b"]));
            until(|| cache.stats().loads == loads + 1);
            thread::sleep(MS(50));
            let asked = scripts_called(&server);
            let (first, second) = if other_is_first {
                (of_other, of_own)
            } else {
                (of_own, of_other)
            };
            first.send(()).unwrap();
            until(|| scripts_called(&server) > asked);
            let began = Instant::now();
            second.send(()).unwrap();
            let sources = waiting.join().unwrap();
            assert_eq!(sources, [Source::Waited, Source::Loaded, Source::Waited]);
            assert!(began.elapsed() < MS(2000), "{:?}", began.elapsed());
        });
    }
}

/// In memory, caches on one store that share no loads are such processes.
#[test]
fn it_is_the_same_in_memory() {
    let memory = Memory::new(100);
    let [leader, waiter] = [(); 2].map(|()| {
        let cache = settings(Cache::builder(&memory)).tracking(true);
        cache.build().unwrap()
    });
    for _ in 0..50 {
        leader.invalidate("k").unwrap();
        let answers = stampede(&leader, std::slice::from_ref(&waiter), MS(20), || {
            Some(loaf())
        });
        assert_eq!(answers[0].1, Source::Waited);
        assert!(answers[0].0 < MS(1000));
    }
}
