//! A history under load: every lookup is held against the newest write that had ended before it began.
//!
//! Two caches that share nothing but the server stand for two processes. Loaders and writers pause at random,
//! and leases are short enough to lapse in mid-load.

mod support;

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Record};
use parking_lot::Mutex;
use support::Server;

const KEYS: usize = 3;
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// One record of the primary. Its version only grows.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    /// The newest version whose write had returned, cache and all.
    settled: AtomicU64,
    /// One writer at a time, as `update_field` asks for.
    writer: Mutex<()>,
}

/// Small numbers by chance, the same in each run (a linear congruential generator, Knuth's constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// None at all half of the time, else up to `micros`.
    fn pause(&mut self, micros: u64) {
        if self.below(2) == 0 {
            thread::sleep(Duration::from_micros(self.below(micros)));
        }
    }
}

fn record(version: u64) -> Record {
    Record::from([("version", version.to_string()), ("name", "loaf".into())])
}

fn version(record: &Record) -> u64 {
    record.get("version").unwrap().parse().unwrap()
}

fn read(cache: &Cache, id: usize, row: &Row, dice: &mut Dice) {
    let settled = row.settled.load(SeqCst);
    let found = cache
        .get(&id.to_string(), |_| {
            let read = row.version.load(SeqCst);
            // Now and then longer than a lease.
            let often = dice.below(16) > 0;
            dice.pause(if often { 2_000 } else { 60_000 });
            Ok::<_, Infallible>(Some(record(read)))
        })
        .unwrap();
    let seen = version(found.record().unwrap());
    assert!(
        seen >= settled,
        "a lookup that began after the write of {settled} got {seen}: {found:?}"
    );
}

fn write(cache: &Cache, id: usize, row: &Row, dice: &mut Dice) {
    let _one_at_a_time = row.writer.lock();
    let new = row.version.fetch_add(1, SeqCst) + 1;
    dice.pause(1_000);
    let id = id.to_string();
    match dice.below(3) {
        0 => drop(cache.update_field(&id, "version", new.to_string()).unwrap()),
        1 => drop(
            cache
                .update(&id, |cached| (version(cached) < new).then(|| record(new)))
                .unwrap(),
        ),
        _ => drop(cache.invalidate(&id).unwrap()),
    }
    row.settled.fetch_max(new, SeqCst);
}

#[test]
fn no_lookup_returns_what_was_there_before_a_write_that_had_ended() {
    let server = Server::start();
    let build = || -> Cache {
        let lease = Duration::from_millis(30);
        let builder = server.builder().lease_ttl(lease).max_load_time(lease);
        builder.ttl(Duration::from_millis(200)).build().unwrap()
    };
    let caches = [build(), build()];
    let rows: [Row; KEYS] = std::array::from_fn(|_| Row::default());
    let end = Instant::now() + LONG_ENOUGH;
    let checked = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 0..16_u64 {
            let cache = &caches[usize::from(seed % 2 == 1)];
            let (rows, checked) = (&rows, &checked);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                while Instant::now() < end {
                    let id = usize::try_from(dice.below(3)).unwrap();
                    if seed < 12 {
                        read(cache, id, &rows[id], &mut dice);
                        checked.fetch_add(1, SeqCst);
                    } else {
                        write(cache, id, &rows[id], &mut dice);
                        dice.pause(8_000);
                    }
                }
            });
        }
    });
    let (one, two) = (caches[0].stats(), caches[1].stats());
    println!("{} lookups checked\n{one:?}\n{two:?}", checked.load(SeqCst));
    // Without these the run would have shown nothing.
    assert!(checked.load(SeqCst) > 500);
    assert!(one.refused_fills > 0 && one.stampedes_suppressed > 0 && one.hits > 0);
    assert_eq!(one.redis_errors + two.redis_errors, 0);
    assert_no_key_lives_for_ever(&server);
}

fn assert_no_key_lives_for_ever(server: &Server) {
    let mut direct = server.connect();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut direct).unwrap();
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut direct).unwrap();
        assert_ne!(left, -1, "{key} has no TTL");
    }
}
