//! What went wrong in a run, and how long its calls took.

use std::{
    collections::BTreeMap,
    panic,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How many faults of each kind are kept as text.
const KEPT: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A call took longer than its bound.
    Late,
    /// The client sends requests in a loop.
    Busy,
    /// A lookup failed, or a write did nothing.
    Unanswered,
    /// A record from before an invalidation that had returned.
    Stale,
    /// The record of another id.
    Foreign,
    /// A record that the server forged: a valid reply, and a wrong one. No client can know.
    Forged,
}

impl Fault {
    pub(crate) fn is_violation(self) -> bool {
        self != Fault::Forged
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<Fault, u64>>,
    texts: Mutex<Vec<(Fault, String)>>,
    longest: Mutex<BTreeMap<&'static str, Duration>>,
    calls: AtomicU64,
}

impl Tally {
    pub(crate) fn add(&self, fault: Fault, text: &str) {
        let mut counts = self.counts.lock();
        let count = counts.entry(fault).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.texts.lock().push((fault, text.to_owned()));
        }
    }

    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.counts.lock().get(&fault).copied().unwrap_or(0)
    }

    /// The violations, as text.
    pub(crate) fn violations(&self) -> Vec<String> {
        let texts = self.texts.lock();
        let violations = texts.iter().filter(|(fault, _)| fault.is_violation());
        violations
            .map(|(fault, text)| format!("{fault:?}: {text}"))
            .collect()
    }

    pub(crate) fn took(&self, call: &'static str, time: Duration) {
        self.calls.fetch_add(1, SeqCst);
        let mut longest = self.longest.lock();
        let longest = longest.entry(call).or_default();
        *longest = (*longest).max(time);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }

    /// The longest time of each call.
    pub(crate) fn longest(&self) -> BTreeMap<&'static str, Duration> {
        self.longest.lock().clone()
    }

    /// Adds what another one has counted.
    pub(crate) fn merge(&self, other: &Tally) {
        for (fault, count) in &*other.counts.lock() {
            *self.counts.lock().entry(*fault).or_default() += count;
        }
        for (call, time) in other.longest() {
            self.took(call, time);
        }
        let calls = other.calls() - other.longest().len() as u64;
        self.calls.fetch_add(calls, SeqCst);
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from now on, in any thread, and prints each in one line.
pub(crate) fn count_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, SeqCst);
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        eprintln!(
            "hostile: thread {name}: {}",
            panic.to_string().replace('\n', " ")
        );
    }));
}

pub(crate) fn panics() -> u64 {
    PANICS.load(SeqCst)
}

/// The time that this process has lost to others, in milliseconds.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Measures from now on how much later than due a thread of this process wakes up.
pub(crate) fn measure_lost_time() {
    const PAUSE: Duration = Duration::from_millis(10);
    thread::spawn(|| {
        loop {
            let began = Instant::now();
            thread::sleep(PAUSE);
            let late = began.elapsed().saturating_sub(2 * PAUSE);
            let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            LOST.fetch_add(late, SeqCst);
        }
    });
}

pub(crate) fn lost_time() -> Duration {
    Duration::from_millis(LOST.load(SeqCst))
}

/// The memory of this process in bytes. 0 where the system does not tell.
pub(crate) fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
