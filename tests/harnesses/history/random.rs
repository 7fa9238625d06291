//! Random numbers, the same for the same seed.
//!
//! A seed repeats the choices of a run but not the run itself, because the scheduler of the threads
//! differs.

use std::{thread, time::Duration};

/// `SplitMix64`, by G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA '14.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates the numbers of one lane. Each lane of a seed has different numbers.
    pub(crate) fn new(seed: u64, lane: u64) -> Random {
        let mut random = Random(seed ^ lane.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// An index into a list that is not empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a usize")
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        let micros = least * 1000 + self.below((most - least) * 1000);
        Duration::from_micros(micros)
    }

    /// Pauses for up to `most` milliseconds. Half of the time there is no pause.
    pub(crate) fn pause(&mut self, most: u64) {
        if self.one_in(2) {
            thread::sleep(self.millis(0, most));
        }
    }
}
