//! The keys of a record: the data key, the lease key and, if the cache has versions, the floor key.
//! And what a lookup under tags knows of them, because its requests name it with the keys.
//!
//! They must be in one slot of a Redis cluster, because the scripts use them together.
//! `has_one_slot` finds the data keys for which that is impossible. A slot is computed from the
//! key's *hash tag*: the text between the first `{` and the first `}` after it. A key without a tag
//! is hashed as a whole
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).

use std::time::Duration;

use super::tags::TagBounds;

/// The prefix of every lease key.
pub(crate) const LEASE_PREFIX: &str = "lock:";

/// The prefix of every floor key.
pub(crate) const FLOOR_PREFIX: &str = "floor:";

/// The data key of a record, the key of its lease, and that of its floor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Keys {
    /// The key of the record: `prefix` + `id` and nothing else, so that other programs can compute
    /// it.
    pub data: String,
    /// The key of its lease: `lock:{<data key>}`. If the data key has its own hash tag: `lock:<data
    /// key>`.
    pub lease: String,
    /// The floor, if the cache has [`versions`](crate::CacheBuilder::versions).
    pub floor: Option<FloorKey>,
    /// What a lookup under tags has read of them.
    pub tags: Option<TagBounds>,
}

/// The key of a record's floor, and how long a floor lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FloorKey {
    /// The key: `floor:{<data key>}`. If the data key has its own hash tag: `floor:<data key>`.
    pub key: String,
    /// How long each floor lasts at least: longer than a replica of the primary lags.
    pub lag: Duration,
}

impl Keys {
    /// The keys of the record at `data`. It has no floor.
    #[must_use]
    pub fn of(data: String) -> Keys {
        let lease = with_prefix(LEASE_PREFIX, &data);
        Keys {
            data,
            lease,
            floor: None,
            tags: None,
        }
    }

    /// The same record with a floor, which lasts for `lag`.
    #[must_use]
    pub fn with_floor(self, lag: Duration) -> Keys {
        let key = with_prefix(FLOOR_PREFIX, &self.data);
        let floor = Some(FloorKey { key, lag });
        Keys { floor, ..self }
    }

    /// The same record for a lookup under tags.
    #[must_use]
    pub fn under_tags(self, bounds: TagBounds) -> Keys {
        let tags = Some(bounds);
        Keys { tags, ..self }
    }

    /// Finds the keys of the record that has this lease key and whose data key begins with
    /// `prefix`. `None`: there is no such record.
    #[must_use]
    pub fn of_lease(lease: &str, prefix: &str) -> Option<Keys> {
        let name = lease.strip_prefix(LEASE_PREFIX)?;
        let within = name
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let both = [within, Some(name)].into_iter().flatten();
        let mut keys = both.map(|data| Keys::of(data.to_owned()));
        // `a` and `{a}` have the same lease key.
        keys.find(|keys| keys.lease == lease && keys.data.starts_with(prefix))
    }
}

/// A key in the slot of this data key.
fn with_prefix(prefix: &str, data: &str) -> String {
    if hash_tag(data).is_some() {
        format!("{prefix}{data}")
    } else {
        format!("{prefix}{{{data}}}")
    }
}

/// The part of a key that a cluster hashes instead of the whole. Only the first pair of braces
/// counts, and only if it is not empty.
fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The text that a cluster hashes for this key.
#[cfg(any(test, feature = "cluster"))]
pub(crate) fn hashed(key: &str) -> &str {
    hash_tag(key).unwrap_or(key)
}

/// Whether the lease key of this data key is in the same slot. It is in another slot if a `}` in
/// the data key ends the lease's tag too early.
pub(crate) fn has_one_slot(data: &str) -> bool {
    !data.contains('}') || hash_tag(data).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(data: &str) -> String {
        Keys::of(data.to_owned()).lease
    }

    fn floor(data: &str) -> String {
        let keys = Keys::of(data.to_owned());
        keys.with_floor(Duration::from_secs(1)).floor.unwrap().key
    }

    #[test]
    fn the_lease_key_carries_the_data_key_as_its_tag() {
        assert_eq!(lease("cache:product:p-001"), "lock:{cache:product:p-001}");
        assert_eq!(lease("cache:{"), "lock:{cache:{}");
    }

    #[test]
    fn the_floor_key_is_built_like_the_lease_key() {
        for data in ["cache:p", "cache:{", "cache:{shop}:p", "{a}b}"] {
            let lease = lease(data);
            let name = lease.strip_prefix(LEASE_PREFIX).unwrap();
            assert_eq!(floor(data), format!("{FLOOR_PREFIX}{name}"));
        }
    }

    #[test]
    fn a_lease_key_names_its_data_key() {
        for data in [
            "cache:p",
            "cache:{shop}:p",
            "cache:{",
            "cache:}",
            "{cache}",
            "{}",
            "{a}b}",
            "ü",
        ] {
            let keys = Keys::of(data.to_owned());
            assert_eq!(Keys::of_lease(&keys.lease, data), Some(keys), "{data}");
        }
        for other in ["lock:p", "lock:{p", "lock:", "p", "lock:a}b"] {
            assert_eq!(Keys::of_lease(other, ""), None, "{other}");
        }
    }

    #[test]
    fn a_lease_of_another_prefix_is_not_taken_for_ones_own() {
        for (lease, prefix) in [
            ("lock:{cache:p}", "cash:"),
            ("lock:{my:cache:p}", "cache:"),
            ("lock:{cache:p}:1", "cache:"),
        ] {
            assert_eq!(Keys::of_lease(lease, prefix), None, "{lease}");
        }
    }

    #[test]
    fn both_keys_have_one_slot_or_the_check_finds_that_they_do_not() {
        for data in ["p", "cache:{", "{a}b}", "a{b}c", "ü{ü}", "{", "{a"] {
            assert_eq!(hashed(&lease(data)), hashed(data), "{data}");
            assert_eq!(hashed(&floor(data)), hashed(data), "{data}");
            assert!(has_one_slot(data), "{data}");
        }
        for data in ["a}b", "}", "{}", "a{}b", "{}{a}"] {
            assert_ne!(hashed(&lease(data)), hashed(data), "{data}");
            assert!(!has_one_slot(data), "{data}");
        }
    }

    #[test]
    fn a_tag_in_the_data_key_is_the_tag_of_the_lease_key() {
        assert_eq!(lease("cache:{shop}:p-001"), "lock:cache:{shop}:p-001");
    }
}
