//! What a Redis hash makes of its fields, for fields in order. Knows no record and no lease.
//!
//! In time that grows with the number of fields and not with its square: a record may have tens of
//! thousands.

use std::collections::{HashMap, HashSet};

use crate::record::fields::Fields;

/// Sets fields. One that is there keeps its place, a new one goes behind the others, and of one
/// that comes twice the last value counts.
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

/// Takes fields away.
pub(super) fn remove(fields: &mut Fields, gone: &[Vec<u8>]) {
    let gone: HashSet<_> = gone.iter().collect();
    fields.retain(|(name, _)| !gone.contains(name));
}
