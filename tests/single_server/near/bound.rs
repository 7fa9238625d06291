//! The bound: a lookup that begins this long after another process's write returned never returns
//! the old record, whatever the wire does to pushes. The writer has a healthy wire of its own.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use super::{
    MS, load, near_within, number, settle,
    wire::{Delivery, Wire},
};
use crate::support::{Server, until};

/// Between two lookups: thousands of lookups within a bound are enough, and other tests run beside.
const PAUSE: Duration = Duration::from_micros(100);

/// The results of a run.
#[derive(Debug, Default)]
struct Seen {
    near: AtomicU64,
    /// Near hits that were older than a write that had returned.
    stale: AtomicU64,
    /// The largest age of those.
    worst: Mutex<Duration>,
}

impl Seen {
    fn is_within(&self, bound: Duration) -> bool {
        *self.worst.lock().unwrap() < bound
    }
}

/// Reads the near cache while another cache writes a version every few milliseconds and the wire is
/// set to some delivery. Ends when `delivery` returns, which gets what was seen so far.
fn run(bound: Duration, delivery: impl FnOnce(&Wire, &Seen)) -> Seen {
    let server = Server::start_on_port();
    let wire = Wire::before(server.port());
    let cache = near_within(wire.url(), bound);
    let writer = server.cache();
    let primary = AtomicU64::new(1);
    // Each version with the instant at which its write had returned.
    let written = Mutex::new(vec![Instant::now(); 2]);
    let stop = AtomicBool::new(false);
    let seen = Seen::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let version = primary.fetch_add(1, SeqCst) + 1;
                writer.invalidate("k").unwrap();
                written.lock().unwrap().push(Instant::now());
                assert_eq!(written.lock().unwrap().len() as u64, version + 1);
                thread::sleep(MS(7));
            }
        });
        scope.spawn(|| read(&cache, &primary, &written, &stop, &seen));
        // Also if this panics: the threads would run forever.
        let ended = panic::catch_unwind(AssertUnwindSafe(|| delivery(&wire, &seen)));
        stop.store(true, SeqCst);
        ended.unwrap();
    });
    seen
}

fn read(
    cache: &Cache,
    primary: &AtomicU64,
    written: &Mutex<Vec<Instant>>,
    stop: &AtomicBool,
    seen: &Seen,
) {
    while !stop.load(SeqCst) {
        thread::sleep(PAUSE);
        let began = Instant::now();
        let found = cache.get("k", |id| load(primary.load(SeqCst))(id)).unwrap();
        if found.source() != Source::Near {
            continue;
        }
        seen.near.fetch_add(1, SeqCst);
        // The found version was ended by the write of the next one.
        let next = written
            .lock()
            .unwrap()
            .get(usize::try_from(number(&found)).unwrap() + 1)
            .copied();
        if let Some(ended) = next
            && began > ended
        {
            seen.stale.fetch_add(1, SeqCst);
            let mut worst = seen.worst.lock().unwrap();
            *worst = worst.max(began - ended);
        }
    }
}

#[test]
fn where_all_is_well_hardly_anything_is_stale() {
    let bound = MS(400);
    let seen = run(bound, |_, seen| {
        thread::sleep(MS(1000));
        // On a busy machine, a near hit between two writes is rare.
        until(|| seen.near.load(SeqCst) > 0);
    });
    assert!(seen.is_within(bound), "{seen:?}");
}

/// A partition between the server and the listener, but not for other writers.
#[test]
fn where_pushes_are_held_back_nothing_is_older_than_the_bound() {
    let bound = MS(200);
    let seen = run(bound, |wire, seen| {
        let mut rounds = 0;
        // Until the wire has done something, too.
        until(|| {
            thread::sleep(MS(100));
            wire.turn(Delivery::Held);
            thread::sleep(MS(500));
            wire.turn(Delivery::Calm);
            rounds += 1;
            rounds >= 4 && seen.stale.load(SeqCst) > 0
        });
    });
    assert!(seen.is_within(bound), "{seen:?}");
}

/// The replies to heartbeats are late as well. What counts is when the PING was sent: PING; write;
/// push on its way; the reply to a PING from before the write; then nothing more.
#[test]
fn where_pushes_are_late_and_then_held_back_nothing_is_older_than_the_bound() {
    // Less than a period of the heartbeat, so that the stream stays live.
    let (bound, late) = (MS(400), MS(80));
    let server = Server::start_on_port();
    let wire = Wire::before(server.port());
    let cache = near_within(wire.url(), bound);
    let writer = server.cache();
    let mut was_near = 0;
    for version in 0..8 {
        wire.turn(Delivery::Calm);
        writer.invalidate("k").unwrap();
        settle(&cache, &server, version);
        wire.turn(Delivery::Late(late));
        thread::sleep(3 * late);
        writer.invalidate("k").unwrap();
        let written = Instant::now();
        // The push is on its way for longer than this.
        thread::sleep(late / 6 * 5);
        wire.turn(Delivery::Held);
        while written.elapsed() < 2 * bound {
            thread::sleep(PAUSE);
            let began = Instant::now();
            let found = cache.get("k", load(version + 1)).unwrap();
            if number(&found) == version {
                was_near += 1;
                assert!(began < written + bound, "{:?}", began - written);
            }
        }
    }
    assert!(was_near > 0, "the wire did nothing");
}

/// Later than the bound: then the near cache is not used at all.
#[test]
fn where_pushes_are_later_than_the_bound_nothing_near_is_used() {
    let bound = MS(100);
    let seen = run(bound, |wire, _| {
        wire.turn(Delivery::Late(MS(300)));
        thread::sleep(MS(1500));
    });
    assert!(seen.is_within(bound), "{seen:?}");
}

/// Pauses within a push, longer than a read waits: the part that has arrived is not lost.
#[test]
fn a_push_that_comes_in_pieces_is_heard() {
    let bound = MS(400);
    for size in [1, 2, 5, 13] {
        let server = Server::start_on_port();
        let wire = Wire::before(server.port());
        let cache = near_within(wire.url(), bound);
        let writer = server.cache();
        for version in 0..3 {
            wire.turn(Delivery::Calm);
            crate::support::until(|| {
                cache.get("k", load(version)).unwrap().source() == Source::Near
            });
            // A read waits for a quarter of the bound.
            wire.turn(Delivery::Pieces(size, bound / 4 + MS(5)));
            writer.invalidate("k").unwrap();
            let written = Instant::now();
            while written.elapsed() < 2 * bound {
                thread::sleep(PAUSE);
                let began = Instant::now();
                let found = cache.get("k", load(version + 1)).unwrap();
                let is_old = number(&found) == version;
                assert!(!is_old || began < written + bound, "{size} {version}");
            }
        }
    }
}
