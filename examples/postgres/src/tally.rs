//! What is counted while readers and writers work, and what every read is compared with.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

use crate::shop::PRODUCTS;

/// Shared by the threads of one line of the table.
pub(crate) struct Tally {
    began: Instant,
    /// The version of each product that every read must find from now on, and since when: in
    /// nanoseconds after the beginning.
    least: Vec<(AtomicU64, AtomicU64)>,
    wanted: u64,
    reads: AtomicU64,
    stale: AtomicU64,
    writes: AtomicU64,
    replica_loads: AtomicU64,
    primary_loads: AtomicU64,
    /// The longest time after which an old version was still read, in nanoseconds.
    longest: AtomicU64,
    is_over: AtomicBool,
}

/// The counts of one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) stale: u64,
    pub(crate) writes: u64,
    pub(crate) replica_loads: u64,
    pub(crate) primary_loads: u64,
    pub(crate) longest: Duration,
}

impl Counts {
    pub(crate) fn stale_per_million(&self) -> u64 {
        self.stale * 1_000_000 / self.reads.max(1)
    }
}

impl Tally {
    pub(crate) fn new(wanted: u64) -> Tally {
        Tally {
            began: Instant::now(),
            least: (0..=PRODUCTS).map(|_| Default::default()).collect(),
            wanted,
            reads: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            replica_loads: AtomicU64::new(0),
            primary_loads: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// From now on, each read of this product must find this version or a later one.
    pub(crate) fn wrote(&self, product: u32, version: u64) {
        self.writes.fetch_add(1, SeqCst);
        let (least, since) = &self.least[product as usize];
        // First: a reader that sees the new version must not see an older time.
        since.store(nanos(self.began.elapsed()), SeqCst);
        least.store(version, SeqCst);
    }

    /// The version that a read which begins now must find.
    pub(crate) fn least(&self, product: u32) -> u64 {
        self.least[product as usize].0.load(SeqCst)
    }

    /// Counts a read. It has found an older version than it should if `is_stale`.
    pub(crate) fn read(&self, product: u32, is_stale: bool) {
        if is_stale {
            self.stale.fetch_add(1, SeqCst);
            let since = self.least[product as usize].1.load(SeqCst);
            let after = nanos(self.began.elapsed()).saturating_sub(since);
            self.longest.fetch_max(after, SeqCst);
        }
        if self.reads.fetch_add(1, SeqCst) + 1 >= self.wanted {
            self.end();
        }
    }

    pub(crate) fn loaded(&self, from_replica: bool) {
        let loads = if from_replica {
            &self.replica_loads
        } else {
            &self.primary_loads
        };
        loads.fetch_add(1, SeqCst);
    }

    /// Ends the work of all threads.
    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(SeqCst)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            reads: self.reads(),
            stale: self.stale.load(SeqCst),
            writes: self.writes.load(SeqCst),
            replica_loads: self.replica_loads.load(SeqCst),
            primary_loads: self.primary_loads.load(SeqCst),
            longest: Duration::from_nanos(self.longest.load(SeqCst)),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
