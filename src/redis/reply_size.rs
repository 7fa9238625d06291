//! An estimate of how large the replies with records are.
//!
//! Called by batches and by shared requests, which must not request too many of them ahead. A
//! larger reply counts at once, and a smaller one lowers the estimate only a little: rather too few
//! are requested than too many.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use redis::Value;

use crate::record::fields::Fields;

/// The assumed size of a record before one was seen.
const ASSUMED: usize = 16 << 10;

/// The estimate, in bytes. Relaxed is enough for an estimate.
#[derive(Debug)]
pub(crate) struct ReplySize(AtomicUsize);

impl Default for ReplySize {
    fn default() -> ReplySize {
        ReplySize(AtomicUsize::new(ASSUMED))
    }
}

impl ReplySize {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Records the size of a record that was read or is filled. 0: there is no record.
    pub(crate) fn met(&self, bytes: usize) {
        if bytes > 0 {
            self.0.store(after(self.bytes(), bytes), Relaxed);
        }
    }
}

/// The size of a record.
pub(crate) fn bytes(record: &Fields) -> usize {
    record
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// The estimate after a reply of this size.
pub(crate) fn after(estimate: usize, bytes: usize) -> usize {
    bytes.max(estimate - estimate / 16)
}

/// The bytes of the texts in a reply. 0: it contains none, so it is no record.
pub(crate) fn bytes_of(reply: &Value) -> usize {
    let length = |part: &Value| match part {
        Value::BulkString(text) => text.len(),
        _ => 0,
    };
    let pair = |(name, value): &(Value, Value)| length(name) + length(value);
    match reply {
        Value::Array(parts) => parts.iter().map(length).sum(),
        Value::Map(pairs) => pairs.iter().map(pair).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_rises_at_once_and_sinks_slowly() {
        let size = ReplySize::default();
        size.met(1 << 20);
        assert_eq!(size.bytes(), 1 << 20);
        size.met(100);
        assert_eq!(size.bytes(), (1 << 20) / 16 * 15);
        for _ in 0..400 {
            size.met(100);
        }
        assert_eq!(size.bytes(), 100);
    }

    #[test]
    fn the_size_of_a_record_is_that_of_its_texts_in_both_protocols() {
        let text = |text: &str| Value::BulkString(text.into());
        let list = Value::Array(vec![text("name"), text("Rye")]);
        let map = Value::Map(vec![(text("name"), text("Rye"))]);
        assert_eq!([bytes_of(&list), bytes_of(&map)], [7, 7]);
        let no_record = Value::Array(Vec::new());
        assert_eq!([bytes_of(&no_record), bytes_of(&Value::Int(7))], [0, 0]);
    }
}
