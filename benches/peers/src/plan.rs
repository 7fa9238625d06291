//! The sizes of all measurements.

use std::time::Duration;

use crate::work::threads::Cell;

/// How many threads read at once.
const THREADS: [usize; 5] = [1, 4, 16, 64, 128];

/// The number of connections where they are few.
const FEW: u32 = 4;

/// The number of connections otherwise: the default of r2d2.
pub(crate) const CONNECTIONS: u32 = 10;

/// How many records are read in turn.
pub(crate) const RECORDS: usize = 1_000;

/// How many threads ask for one cold record.
pub(crate) const STAMPEDES: [u32; 2] = [100, 1_000];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    /// Rounds of single calls.
    pub(crate) call_rounds: usize,
    /// Rounds of threads, and the length of a turn.
    pub(crate) thread_rounds: usize,
    pub(crate) turn: Duration,
    pub(crate) stampede_rounds: usize,
    /// How many records the process keeps, to measure the memory of one.
    pub(crate) kept: usize,
}

impl Plan {
    pub(crate) fn new(quick: bool) -> Plan {
        if quick {
            Plan {
                quick,
                call_rounds: 9,
                thread_rounds: 3,
                turn: Duration::from_millis(100),
                stampede_rounds: 2,
                kept: 2_000,
            }
        } else {
            Plan {
                quick,
                call_rounds: 101,
                thread_rounds: 11,
                turn: Duration::from_millis(300),
                stampede_rounds: 7,
                kept: 20_000,
            }
        }
    }

    /// The number of rounds, in words.
    pub(crate) fn rounds(self) -> String {
        let quick = if self.quick { " (the short form)" } else { "" };
        format!(
            "in {} rounds of single calls, {} of stampedes and {} of threads, {} ms for each{quick}",
            self.call_rounds,
            self.stampede_rounds,
            self.thread_rounds,
            self.turn.as_millis()
        )
    }
}

pub(crate) fn few() -> [Cell; 5] {
    THREADS.map(|threads| Cell {
        threads,
        connections: FEW,
    })
}

pub(crate) fn many() -> [Cell; 5] {
    THREADS.map(|threads| Cell {
        threads,
        connections: u32::try_from(threads).expect("a few hundred"),
    })
}
