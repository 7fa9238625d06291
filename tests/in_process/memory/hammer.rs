//! Many threads on few records: no read that starts after a write returned finds an older record.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Memory, Record};
use parking_lot::Mutex;

const RECORDS: usize = 4;
const THREADS: u64 = 8;

/// A primary of growing versions, and the versions that the cache has been told.
#[derive(Default)]
struct Primary {
    committed: AtomicU64,
    /// No read that starts now may find less.
    told: AtomicU64,
    /// `update_field` is for one writer at a time.
    field: Mutex<()>,
}

fn version(record: &Record) -> u64 {
    record.get("version").unwrap().parse().unwrap()
}

fn record(version: u64) -> Record {
    Record::from([("name", "Rye".to_owned()), ("version", version.to_string())])
}

impl Primary {
    fn commit(&self) -> u64 {
        self.committed.fetch_add(1, SeqCst) + 1
    }

    fn read(&self, cache: &Cache, id: &str, pause: bool) {
        let least = self.told.load(SeqCst);
        let found = cache.get(id, |_| {
            let read = self.committed.load(SeqCst);
            if pause {
                // A load that other threads overtake.
                thread::sleep(Duration::from_micros(100));
            }
            Ok::<_, Infallible>(Some(record(read)))
        });
        let found = found.unwrap();
        let read = version(found.record().unwrap());
        assert!(read >= least, "{id}: {read} after {least}, {found:?}");
    }

    /// Writes in one of the ways.
    fn write(&self, cache: &Cache, id: &str, way: u64) {
        let written = match way {
            0 => {
                let version = self.commit();
                cache.invalidate(id).unwrap();
                version
            }
            1 => {
                let written = cache.write(id, || Ok::<_, Infallible>(self.commit()));
                written.unwrap().into_value()
            }
            _ => {
                let new = self.commit();
                let newer = |old: &Record| (version(old) < new).then(|| record(new));
                match cache.update(id, newer) {
                    // The record has been ended.
                    Ok(_) | Err(Error::Contended { .. }) => new,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        self.told.fetch_max(written, SeqCst);
    }

    fn write_field(&self, cache: &Cache, id: &str) {
        let alone = self.field.lock();
        let version = self.commit();
        let text = version.to_string();
        cache.update_field(id, "version", text).unwrap();
        self.told.fetch_max(version, SeqCst);
        drop(alone);
    }
}

/// A random number below `bound`, and the next state.
fn draw(state: &mut u64, bound: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % bound
}

fn hammer(memory: &Memory) {
    let processes =
        [0, 1].map(|_| -> Cache { Cache::builder(memory).prefix("test:").build().unwrap() });
    let primaries: [Primary; RECORDS] = Default::default();
    let end = Instant::now() + Duration::from_millis(400);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let cache = &processes[usize::from(thread % 2 == 0)];
            let primaries = &primaries;
            scope.spawn(move || {
                let mut state = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                while Instant::now() < end {
                    let at = usize::try_from(draw(&mut state, RECORDS as u64)).unwrap();
                    let (primary, id) = (&primaries[at], at.to_string());
                    // Records that are written by field are only written like that, in order.
                    match draw(&mut state, 8) {
                        0 if at == 0 => primary.write_field(cache, &id),
                        way @ 0..3 if at > 0 => primary.write(cache, &id, way),
                        other => primary.read(cache, &id, other == 7),
                    }
                }
            });
        }
    });
    for (at, primary) in primaries.iter().enumerate() {
        primary.read(&processes[0], &at.to_string(), false);
    }
    let stats = processes.map(|cache| cache.stats());
    let sum = |count: fn(&cache_aside::Stats) -> u64| stats.iter().map(count).sum::<u64>();
    // The run was not empty.
    assert!(sum(|stats| stats.hits) > 0 && sum(|stats| stats.refused_fills) > 0);
    assert_eq!(sum(|stats| stats.store_errors + stats.degraded), 0);
}

#[test]
fn nobody_reads_what_was_there_before_a_write_that_has_returned() {
    hammer(&Memory::new(100));
}

#[test]
fn nor_where_records_are_dropped_for_want_of_room() {
    hammer(&Memory::new(2));
}
