//! The fields in which two records differ.
//!
//! Called by the audit, which compares what is cached with what the primary has. Both records were
//! decoded from fields, so that what a hash cannot hold makes no difference.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    json_eq::same,
    scalar::{ScalarKind, Stored, Unstorable, shown},
    ser::serialize,
};

/// The name of a field in which two records differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Differing {
    /// Cut to 64 bytes.
    pub(crate) name: String,
    /// Whether it is a key of a map, and so may be content.
    pub(crate) is_key: bool,
}

/// The fields in which these records differ, by name. The order within JSON is ignored, because a
/// map or a set may be written in another order each time.
///
/// # Errors
///
/// [`Unstorable`]: one of them is no record.
pub(crate) fn differing<R: Serialize>(one: &R, other: &R) -> Result<Vec<Differing>, Unstorable> {
    let parts = (serialize(one)?, serialize(other)?);
    let mut all: BTreeMap<&[u8], (bool, [Option<&Stored>; 2])> = BTreeMap::new();
    for (nth, parts) in [&parts.0, &parts.1].into_iter().enumerate() {
        for part in parts {
            let entry = all.entry(&part.name.1).or_default();
            entry.0 |= part.is_key;
            entry.1[nth] = part.value.as_ref();
        }
    }
    let differing = all.into_iter().filter(|(_, (_, values))| match values {
        [None, None] => false,
        [
            Some((ScalarKind::Json, one)),
            Some((ScalarKind::Json, other)),
        ] => !same(one, other),
        [Some((_, one)), Some((_, other))] => one != other,
        _ => true,
    });
    let named = differing.map(|(name, (is_key, _))| Differing {
        name: shown(name),
        is_key,
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[derive(serde::Serialize)]
    struct Product {
        name: &'static str,
        stock: Option<u32>,
    }

    fn names<R: Serialize>(one: &R, other: &R) -> Vec<(String, bool)> {
        let differing = differing(one, other).unwrap().into_iter();
        differing.map(|it| (it.name, it.is_key)).collect()
    }

    #[test]
    fn a_field_differs_if_its_value_does_or_if_only_one_record_has_it() {
        let product = |name, stock| Product { name, stock };
        let one = product("a", Some(1));
        assert_eq!(names(&one, &product("a", Some(1))), []);
        let stock = || ("stock".to_owned(), false);
        for stock_of_other in [Some(2), None] {
            assert_eq!(names(&one, &product("a", stock_of_other)), [stock()]);
        }
        let both = [("name".to_owned(), false), stock()];
        assert_eq!(names(&one, &product("b", None)), both);
        assert_eq!(names(&product("a", None), &product("a", None)), []);
    }

    #[test]
    fn names_of_a_map_are_marked_as_keys_and_cut() {
        let long = "ü".repeat(40);
        let other = Record::from([(&*long, "1")]);
        let cut = ("ü".repeat(32), true);
        assert_eq!(names(&Record::new(), &other), [cut]);
    }
}
