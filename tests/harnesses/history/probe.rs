//! Measures how long the lookups of a record are degraded.
//!
//! A thread with its own cache reads one record again and again.

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

/// A hundredth of the shortest time to measure.
const EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<Duration>>,
}

impl Probe {
    /// Starts to read this record, which is not one of those that are checked.
    pub(crate) fn start(cache: &Cache, id: String) -> Probe {
        let stop = Arc::new(AtomicBool::new(false));
        let (cache, stopped) = (cache.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || read(&cache, &id, &stopped));
        Probe { stop, thread }
    }

    /// The time from the start to the first normal lookup after the last degraded one. `None`: no
    /// lookup was degraded.
    pub(crate) fn end(self) -> Option<Duration> {
        self.stop.store(true, SeqCst);
        self.thread.join().ok().flatten()
    }
}

fn read(cache: &Cache, id: &str, stop: &AtomicBool) -> Option<Duration> {
    let start = Instant::now();
    let (mut is_degraded, mut back) = (false, None);
    // The thread continues while lookups are degraded. Its caller ends it when the cluster has
    // recovered, and that moment must be seen.
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
