//! Sets and removes fields in order, as a Redis hash does. Knows no record and no lease.
//!
//! The time is linear in the number of fields, not quadratic: a record may have tens of thousands.
//!
//! Called by the embedded store.

use std::collections::{HashMap, HashSet};

use crate::record::fields::Fields;

/// Sets fields. An existing field keeps its position, and a new one goes to the end. If a name
/// comes twice, its last value counts.
pub(super) fn set(fields: &mut Fields, new: &Fields) {
    let pairs = new.iter();
    let pairs = pairs.map(|(name, value)| (name.as_slice(), value.as_slice()));
    let mut values: HashMap<_, _> = pairs.collect();
    for (name, value) in fields.iter_mut() {
        if let Some(new) = values.remove(name.as_slice()) {
            *value = new.to_vec();
        }
    }
    for (name, _) in new {
        if let Some(value) = values.remove(name.as_slice()) {
            fields.push((name.clone(), value.to_vec()));
        }
    }
}

/// Removes fields.
pub(super) fn remove(fields: &mut Fields, removed: &[Vec<u8>]) {
    let removed: HashSet<_> = removed.iter().collect();
    fields.retain(|(name, _)| !removed.contains(name));
}
