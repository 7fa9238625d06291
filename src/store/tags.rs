//! Tags: names of many entries that one step ends, and the logical clock behind them.
//!
//! A lookup under tags reads their clock before it may load, and tells it with its request for a
//! lease: see [`TagBounds`]. `lua/README.md` has the rules and the reasons for them. Pure: the
//! store sends and keeps these values.

use std::fmt;

pub use crate::record::fields::tag_fields::{TAG_CLOCK_FIELD, TAG_LIST_FIELD};

/// The beginning of every key of tags. The namespace follows.
pub(crate) const TAGS_PREFIX: &str = "tags:{";

/// A value of the clock of tags, and of a tag that was invalidated at that value.
///
/// As text, an epoch of 32 hexadecimal digits, and a count of 20 decimal digits. Values of
/// different epochs cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagClock {
    epoch: u128,
    count: u64,
}

/// The length of a [`TagClock`] as text.
const TEXT: usize = 53;

impl TagClock {
    /// The first value of an epoch.
    pub(crate) fn begin(epoch: u128) -> TagClock {
        TagClock { epoch, count: 0 }
    }

    /// The next value of the same epoch.
    pub(crate) fn next(self) -> TagClock {
        let count = self.count + 1;
        TagClock { count, ..self }
    }

    /// Parses the text of a value.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<TagClock> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|it| it.len() == TEXT)?;
        let (epoch, count) = text.split_once(':')?;
        // The scripts compare texts, so only the form in which they write them will do.
        let is_hexadecimal = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        let is_right = epoch.len() == 32
            && epoch.bytes().all(is_hexadecimal)
            && count.bytes().all(|digit| digit.is_ascii_digit());
        let epoch = u128::from_str_radix(epoch, 16).ok().filter(|_| is_right)?;
        let count = count.parse().ok()?;
        Some(TagClock { epoch, count })
    }

    /// Whether a load that began at this value saw all that was invalidated up to `newest`.
    #[must_use]
    pub fn covers(self, newest: TagClock) -> bool {
        self.epoch == newest.epoch && self.count >= newest.count
    }

    /// A number that differs from that of every other value.
    pub(crate) fn number(self) -> u128 {
        // Odd, so different counts of an epoch give different numbers.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.epoch ^ u128::from(self.count).wrapping_mul(SPREAD)
    }

    /// Whether both are of one epoch.
    #[must_use]
    pub fn has_epoch_of(self, other: TagClock) -> bool {
        self.epoch == other.epoch
    }
}

impl fmt::Display for TagClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}:{:020}", self.epoch, self.count)
    }
}

impl fmt::Debug for TagClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TagClock({self})")
    }
}

/// The keys of some tags of one namespace, of their clock, and of their floor.
///
/// All keys of a namespace are in one slot of a Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TagKeys {
    /// The key of the clock: `tags:{<namespace>}clock`.
    pub clock: String,
    /// The key of the floor: `tags:{<namespace>}floor`.
    pub floor: String,
    /// The keys of the tags: `tags:{<namespace>}:<tag>`.
    pub tags: Vec<String>,
}

impl TagKeys {
    /// What all keys of the namespace begin with.
    pub(crate) fn prefix(&self) -> String {
        let end = self.clock.find('}').map_or(0, |at| at + 1);
        self.clock[..end].to_owned()
    }

    /// The keys of one of the tags.
    pub(crate) fn only(&self, tag: &str) -> TagKeys {
        TagKeys {
            tags: vec![tag.to_owned()],
            ..self.clone()
        }
    }

    /// The tag with this key.
    pub(crate) fn tag_of(key: &str) -> &str {
        key.split_once("}:").map_or("", |(_, tag)| tag)
    }

    /// The keys of these tags. `None`: the namespace is empty or contains a `}`, so its keys would
    /// not be in one slot.
    #[must_use]
    pub fn of(namespace: &str, tags: &[&str]) -> Option<TagKeys> {
        if namespace.is_empty() || namespace.contains('}') {
            return None;
        }
        let key = |rest: &str| format!("{TAGS_PREFIX}{namespace}}}{rest}");
        Some(TagKeys {
            clock: key("clock"),
            floor: key("floor"),
            tags: tags.iter().map(|tag| key(&format!(":{tag}"))).collect(),
        })
    }
}

/// What a lookup reads of its tags before it may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValues {
    /// The clock. The entry that the lookup fills gets this value.
    pub clock: TagClock,
    /// The tags, in the order of their keys. All have the epoch of the clock.
    pub tags: Vec<TagClock>,
    /// Whether there is a floor: a replica of the primary may lack what a tag has ended.
    pub has_floor: bool,
}

impl TagValues {
    /// The value that an entry or a load must [cover](TagClock::covers) to be good for these tags.
    #[must_use]
    pub fn newest(&self) -> TagClock {
        let newest = self.tags.iter().copied().max_by_key(|tag| tag.count);
        newest.unwrap_or(TagClock::begin(self.clock.epoch))
    }

    /// What the lookup tells with its request for a lease.
    #[must_use]
    pub fn bounds(&self) -> TagBounds {
        TagBounds {
            clock: self.clock,
            oldest: self.newest(),
            known: self.newest(),
        }
    }
}

/// What a lookup under tags tells with its request for a lease, as a part of its
/// [`Keys`](super::Keys).
///
/// [`acquire`](super::Store::acquire) then returns only a record whose [`TAG_CLOCK_FIELD`] covers
/// `oldest`, and only a holder whose own clock does. If the clock of another holder covers `known`,
/// the answer is [`Guarded`](super::Acquire::Guarded) with its token. It replaces the lease of any
/// other holder. The lease that it or [`refresh`](super::Store::refresh) gives has `clock`. To a
/// caller without bounds, the holder of such a lease has no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagBounds {
    /// The clock, as the lookup has read it.
    pub clock: TagClock,
    /// The oldest load that the lookup may share: that of its [newest](TagValues::newest) tag. If
    /// it does not know all of its tags, that of the clock.
    pub oldest: TagClock,
    /// The [newest](TagValues::newest) of the tags that it knows. A load that is older is of no use
    /// to others either.
    pub known: TagClock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_from_its_text() {
        for count in [0, 1, 9, 10, u64::MAX] {
            for epoch in [0, 1, u128::MAX, 0xabc] {
                let value = TagClock { epoch, count };
                let text = value.to_string();
                assert_eq!(text.len(), TEXT);
                assert_eq!(TagClock::parse(text.as_bytes()), Some(value));
            }
        }
    }

    #[test]
    fn another_text_is_no_value() {
        let right = TagClock::begin(0xabc).to_string();
        for wrong in [
            String::new(),
            right.replace(':', ";"),
            right.to_uppercase(),
            right.replace('c', "g"),
            right.replace(":0", ":+"),
            right.replace(":0", ":"),
            format!("{}:{}", "0".repeat(31), "0".repeat(21)),
            format!("{}:{}", "0".repeat(32), "9".repeat(20)),
        ] {
            assert_eq!(TagClock::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_value_covers_older_ones_of_its_epoch_only() {
        let first = TagClock::begin(1);
        assert!(first.covers(first));
        assert!(first.next().covers(first));
        assert!(!first.covers(first.next()));
        assert!(!first.next().covers(TagClock::begin(2)));
    }

    #[test]
    fn the_keys_of_a_namespace_are_in_one_slot() {
        let keys = TagKeys::of("shop", &["", "shoes", "{a}", "}"]).unwrap();
        assert_eq!(keys.clock, "tags:{shop}clock");
        assert_eq!(keys.tags[1], "tags:{shop}:shoes");
        let all = keys.tags.iter().chain([&keys.clock, &keys.floor]);
        for key in all {
            assert!(key.starts_with("tags:{shop}"), "{key}");
        }
        let tags: Vec<_> = keys.tags.iter().map(|key| TagKeys::tag_of(key)).collect();
        assert_eq!(tags, ["", "shoes", "{a}", "}"]);
        for wrong in ["", "}", "a}b"] {
            assert_eq!(TagKeys::of(wrong, &["a"]), None);
        }
    }
}
