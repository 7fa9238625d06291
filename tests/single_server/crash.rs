//! Processes that are killed while they load or write. They are this program, started again.

use std::{
    convert::Infallible,
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, until};
use cache_aside::{Cache, Record, Source, UnitOfWork};

/// It is renewed three times as often: a busy machine may hold the thread that does it up.
const LEASE: Duration = Duration::from_secs(1);
/// After a lease has lapsed.
const SOON: Duration = Duration::from_millis(500);

/// The environment variable of a child.
const SERVER: &str = "CACHE_ASIDE_CRASH_SERVER";

fn version(number: u32) -> Record {
    Record::from([("version", number.to_string())])
}

fn load(number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

fn cache(url: &str) -> Cache {
    let builder = Cache::builder(url).prefix("test:");
    builder.lease_ttl(LEASE).build().unwrap()
}

/// Runs one of the roles below in its own process, until it reports its progress.
fn start(role: &str, server: &Server) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg(format!("crash::{role}"))
        .env(SERVER, server.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().ends_with("has come so far")),
        "{role} ended early"
    );
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// For ever, for a child that will be killed; bounded, in case its parent dies first.
fn stay() {
    println!("has come so far");
    thread::sleep(Duration::from_secs(20));
}

/// A role, not a test: `start` runs it.
#[test]
#[ignore = "a role in the other tests"]
fn leads_and_is_killed() {
    let Ok(url) = env::var(SERVER) else { return };
    let _ = cache(&url).get("p-001", |_| {
        stay();
        load(1)("")
    });
}

/// A role, not a test: `start` runs it.
#[test]
#[ignore = "a role in the other tests"]
fn commits_and_is_killed() {
    let Ok(url) = env::var(SERVER) else { return };
    // The parent does the commit, when this reports.
    let _ = cache(&url).write("p-001", || {
        stay();
        Ok::<_, Infallible>(())
    });
}

/// A role, not a test: `start` runs it.
#[test]
#[ignore = "a role in the other tests"]
fn commits_a_unit_and_is_killed() {
    let Ok(url) = env::var(SERVER) else { return };
    let cache = cache(&url);
    let mut unit = UnitOfWork::new();
    for id in 0..10 {
        unit.add(&cache, id).unwrap();
    }
    unit.guard();
    // The parent does the commit, when this reports.
    stay();
}

#[test]
fn a_writer_that_is_killed_between_the_commit_and_the_end_of_its_unit_leaves_nothing_old() {
    let server = Server::start();
    let cache = cache(&server.url());
    let read = |id: u32, number| cache.get(id, load(number)).unwrap();
    for id in 0..10 {
        read(id, 1);
    }
    let writer = start("commits_a_unit_and_is_killed", &server);
    for id in 0..10 {
        // Before the commit.
        assert_eq!(read(id, 1).source(), Source::Loaded);
    }
    kill(writer);
    for id in 0..10 {
        let found = read(id, 2);
        assert_eq!(**found.record().unwrap(), version(2));
    }
    // Its places in the guards lapse, and the records are cached again.
    until(|| (0..10).all(|id| read(id, 2).is_hit()));
}

#[test]
fn waiters_of_a_leader_that_is_killed_are_served_by_one_load_when_its_lease_lapses() {
    let server = Server::start();
    let loads = AtomicU32::new(0);
    // Two more processes, for Redis.
    let caches = [cache(&server.url()), cache(&server.url())];
    let leader = start("leads_and_is_killed", &server);
    let mut waits: Vec<Duration> = thread::scope(|scope| {
        let waiters: Vec<_> = (0..8)
            .map(|waiter| {
                let (cache, loads) = (&caches[waiter % 2], &loads);
                scope.spawn(move || {
                    let found = cache.get("p-001", |id| {
                        loads.fetch_add(1, SeqCst);
                        load(2)(id)
                    });
                    assert_eq!(**found.unwrap().record().unwrap(), version(2));
                    Instant::now()
                })
            })
            .collect();
        until(|| caches.iter().map(|cache| cache.stats().misses).sum::<u64>() == 8);
        // Longer than a lease without renewal: the leader lives, so they wait.
        thread::sleep(2 * LEASE);
        assert_eq!(loads.load(SeqCst), 0);
        kill(leader);
        let killed = Instant::now();
        let ends = waiters.into_iter().map(|waiter| waiter.join().unwrap());
        ends.map(|end| end.duration_since(killed)).collect()
    });
    waits.sort();
    println!("served after the kill, with a lease of {LEASE:?}: {waits:?}");
    assert_eq!(loads.load(SeqCst), 1);
    let last = *waits.last().unwrap();
    assert!(last <= LEASE + SOON, "{waits:?}");
    server.assert_every_key_expires();
}

#[test]
fn after_a_writer_was_killed_between_commit_and_invalidation_no_reader_is_stale() {
    let server = Server::start();
    let cache = cache(&server.url());
    cache.get("p-001", load(1)).unwrap();
    let writer = start("commits_and_is_killed", &server);
    // Before the commit, under the guard.
    let found = cache.get("p-001", load(1)).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    // From here on the primary holds 2, and no process will invalidate.
    kill(writer);
    let killed = Instant::now();
    let mut loads = 0;
    let cached = loop {
        let found = cache.get("p-001", |id| {
            loads += 1;
            load(2)(id)
        });
        let found = found.unwrap();
        assert_eq!(**found.record().unwrap(), version(2));
        if found.is_hit() {
            break killed.elapsed();
        }
        assert!(killed.elapsed() < Duration::from_secs(10));
    };
    println!(
        "cached again {cached:?} after the kill, with a lease of {LEASE:?}, after {loads} loads"
    );
    assert!(cached <= LEASE + SOON, "{cached:?}");
    server.assert_every_key_expires();
}

/// The guard has a place for each writer; the end of one leaves the other's.
#[test]
fn a_writer_that_was_killed_stays_guarded_though_another_writer_begins_and_ends() {
    let server = Server::start();
    let cache = cache(&server.url());
    let writer = start("commits_and_is_killed", &server);
    let other = cache.write("p-001", || Ok::<_, Infallible>(()));
    assert!(other.unwrap().invalidation_error().is_none());
    // A reader from before the commit of the one that dies. It must not be able to fill.
    let found = cache.get("p-001", |id| {
        kill(writer);
        load(1)(id)
    });
    assert_eq!(**found.unwrap().record().unwrap(), version(1));
    let found = cache.get("p-001", load(2)).unwrap();
    assert_eq!(**found.record().unwrap(), version(2));
    server.assert_every_key_expires();
}

/// Found by the model: the guard of a live writer kept the nonce of a load from before the dead
/// writer's commit.
#[test]
fn a_load_from_before_the_commit_of_a_writer_that_died_is_not_shared_though_another_writer_lives() {
    let server = Server::start();
    let cache = cache(&server.url());
    let writer = start("commits_and_is_killed", &server);
    let written = cache.write("p-001", || {
        let (has_read, was_read) = channel();
        let (let_go, was_let_go) = channel();
        thread::scope(|scope| {
            let early = scope.spawn(|| {
                cache.get("p-001", move |id| {
                    has_read.send(()).unwrap();
                    was_let_go.recv_timeout(Duration::from_secs(20)).unwrap();
                    load(1)(id)
                })
            });
            was_read.recv().unwrap();
            // From here on the primary holds 2.
            kill(writer);
            thread::sleep(LEASE + Duration::from_millis(50));
            let found = cache.get("p-001", load(2)).unwrap();
            assert_eq!(found.source(), Source::Loaded);
            assert_eq!(**found.record().unwrap(), version(2));
            let_go.send(()).unwrap();
            early.join().unwrap().unwrap();
        });
        Ok::<_, Infallible>(())
    });
    assert!(written.is_ok());
    assert!(cache.get("p-001", load(2)).unwrap().record().is_some());
}
