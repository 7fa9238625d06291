//! A number that stands for a record in the event log.
//!
//! Guarantees that equal records have equal numbers, in all processes of one build: the order of
//! the fields does not matter, so that a record may be a `HashMap`. Two records have the same
//! number by chance, once in 2^64 pairs. The check may then miss a fault. It never reports one that
//! is not there.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde_json::Value;

/// `None`: the record cannot be represented as JSON. `record`: `None` if the primary has none.
pub(in crate::telemetry) fn fingerprint<R: Serialize>(record: Option<&R>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match record {
        None => "no record".hash(&mut hasher),
        Some(record) => add(&serde_json::to_value(record).ok()?, &mut hasher),
    }
    Some(hasher.finish())
}

fn add(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            ("object", fields.len()).hash(hasher);
            for (name, value) in fields {
                name.hash(hasher);
                add(value, hasher);
            }
        }
        Value::Array(all) => {
            ("array", all.len()).hash(hasher);
            for value in all {
                add(value, hasher);
            }
        }
        scalar => scalar.to_string().hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_order_of_fields_does_not_matter_and_everything_else_does() {
        let of = |fields: &[(&str, &str)]| {
            let record: HashMap<_, _> = fields.iter().copied().collect();
            fingerprint(Some(&record)).unwrap()
        };
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        let all = [
            of(&[]),
            of(&[("a", "1")]),
            of(&[("a", "2")]),
            of(&[("b", "1")]),
        ];
        let different: std::collections::HashSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), 4);
        assert_ne!(fingerprint::<()>(None), Some(of(&[])));
    }

    #[test]
    fn a_record_that_is_no_json_has_none() {
        let record = HashMap::from([((1, 2), 3)]);
        assert_eq!(fingerprint(Some(&record)), None);
    }
}
