//! For how long a record's lookups do without Redis.
//!
//! A thread that reads one record, again and again, with a cache of its own.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cache_aside::{Cache, Record, Source};

/// A hundredth of the shortest time that is to be measured.
const EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<Duration>>,
}

impl Probe {
    /// Begins to read this record, which isn't one of those that are checked.
    pub(crate) fn start(cache: &Cache, id: String) -> Probe {
        let stop = Arc::new(AtomicBool::new(false));
        let (cache, stopped) = (cache.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || read(&cache, &id, &stopped));
        Probe { stop, thread }
    }

    /// From the start until the first lookup after the last one that did without Redis. `None`:
    /// none did.
    pub(crate) fn end(self) -> Option<Duration> {
        self.stop.store(true, SeqCst);
        self.thread.join().ok().flatten()
    }
}

fn read(cache: &Cache, id: &str, stop: &AtomicBool) -> Option<Duration> {
    let start = Instant::now();
    let (mut is_degraded, mut back) = (false, None);
    // Never ended while it does without Redis: who ends it waits until the cluster is well, and
    // that is to be seen.
    let patience = Duration::from_secs(30);
    while !stop.load(SeqCst) || (is_degraded && start.elapsed() < patience) {
        let lookup = cache.get(id, |id| {
            Ok::<_, Infallible>(Some(Record::from([("id", id.to_owned())])))
        });
        let was_degraded = is_degraded;
        is_degraded = lookup.is_ok_and(|lookup| lookup.source() == Source::Degraded);
        if was_degraded && !is_degraded {
            back = Some(start.elapsed());
        }
        thread::sleep(EVERY);
    }
    back
}
