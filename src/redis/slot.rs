//! The number of a slot. A server may send any number; a [`Slot`] is one that exists.

use std::fmt;

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// A number below [`SLOTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot with this number. `None`: no cluster has it.
    pub(crate) fn new(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    pub(crate) fn of_hash(hash: u16) -> Slot {
        Slot(hash % SLOTS)
    }

    pub(crate) fn parse(text: &str) -> Option<Slot> {
        Slot::new(text.parse().ok()?)
    }

    pub(crate) fn number(self) -> u16 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_no_slot_beyond_16383() {
        assert_eq!(Slot::new(16_383).map(Slot::index), Some(16_383));
        assert_eq!(Slot::new(16_384), None);
        assert_eq!(Slot::new(u16::MAX), None);
    }
}
