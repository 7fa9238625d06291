//! The faults of the network between a process and its server: cuts, splits and delays.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::{
    proxy::{Direction, Fault, Faults},
    random::Random,
};

/// The faults of one process. Without a burst there are none.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    is_on: AtomicBool,
}

impl Bursts {
    pub(crate) fn set(&self, is_on: bool) {
        self.is_on.store(is_on, SeqCst);
    }
}

impl Faults for Bursts {
    fn fault(&self, _: Direction, piece: &[u8], random: &mut Random) -> Option<Fault> {
        if !self.is_on.load(SeqCst) {
            return None;
        }
        match random.below(48) {
            0 => Some(Fault::Cut(random.index(piece.len() + 1))),
            1..=3 => Some(Fault::Split(random.index(piece.len()), random.millis(0, 5))),
            4..=7 => Some(Fault::Delay(random.millis(0, 20))),
            // Long enough for several writes of the same record.
            8 => Some(Fault::Delay(random.millis(50, 400))),
            _ => None,
        }
    }
}
