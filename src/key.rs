//! The two keys of a record: where it lives, and where the lease on it lives.
//!
//! Both lie in one slot of a Redis cluster, because every script touches both. A slot is the hash of the
//! key's *hash tag*, the text between the first `{` and the first `}` after it, or of the whole key where
//! there is none (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).

/// What every lease key begins with.
pub(crate) const LEASE_PREFIX: &str = "lock:";

/// The data key of a record and the key of its lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Keys {
    /// Where the record lives: `prefix` + `id`, nothing else, so that other programs can compute it.
    pub data: String,
    /// Where its lease lives: `lock:` and the data key as a hash tag, or with its own one.
    pub lease: String,
}

impl Keys {
    /// The keys of the record at `data`.
    #[must_use]
    pub fn of(data: String) -> Keys {
        let lease = if has_hash_tag(&data) {
            format!("{LEASE_PREFIX}{data}")
        } else {
            format!("{LEASE_PREFIX}{{{data}}}")
        };
        Keys { data, lease }
    }

    /// The keys of the record with this prefix whose lease this would be. `None`: it is the lease of none.
    #[must_use]
    pub fn of_lease(lease: &str, prefix: &str) -> Option<Keys> {
        let name = lease.strip_prefix(LEASE_PREFIX)?;
        let within = name
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let both = [within, Some(name)].into_iter().flatten();
        let mut keys = both.map(|data| Keys::of(data.to_owned()));
        // Of `a` and of `{a}` the lease is the same.
        keys.find(|keys| keys.lease == lease && keys.data.starts_with(prefix))
    }
}

/// Whether a cluster hashes a part of the key only. `{}` is no tag: the first pair of braces counts, and
/// only with something inside.
fn has_hash_tag(key: &str) -> bool {
    key.split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .is_some_and(|(tag, _)| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(data: &str) -> String {
        Keys::of(data.to_owned()).lease
    }

    #[test]
    fn the_lease_key_carries_the_data_key_as_its_tag() {
        assert_eq!(lease("cache:product:p-001"), "lock:{cache:product:p-001}");
        assert_eq!(lease("cache:{"), "lock:{cache:{}");
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
    fn a_data_key_with_a_tag_lends_it_to_the_lease_key() {
        assert_eq!(lease("cache:{shop}:p-001"), "lock:cache:{shop}:p-001");
    }
}
