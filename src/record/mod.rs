//! The default record type: named strings, in order.

pub(crate) mod fields;
#[cfg(feature = "json")]
pub(crate) mod json;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

/// With more fields than this, a map of them is made sooner than each is looked for.
const MANY: usize = 32;

/// A record of named strings that keeps the order of its fields: what a Redis hash is, as Rust.
///
/// Any other flat type that serde can take apart does as well, a `struct Product { … }` of your own
/// or a `HashMap<String, String>`; see [`Cache`](crate::cache::Cache).
///
/// Redis itself keeps the order of small hashes only (by default up to 128 fields, none longer than
/// 64 bytes). What comes back from a larger one has the same fields in another order, and so `==`
/// looks at the fields and not at their order.
///
/// ```
/// use cache_aside::Record;
///
/// let mut record = Record::from([("name", "Sourdough Loaf"), ("price_cents", "650")]);
/// record.set("stock", "42");
/// assert_eq!(record.get("price_cents"), Some("650"));
/// assert_eq!(record.names().collect::<Vec<_>>(), ["name", "price_cents", "stock"]);
/// ```
#[derive(Clone, Default)]
pub struct Record {
    fields: Vec<(String, String)>,
}

impl Record {
    /// A record without fields. It cannot be cached before it has one.
    #[must_use]
    pub fn new() -> Record {
        Record::default()
    }

    /// The value of a field, or `None` where the record has no such field. Looks at one field after
    /// the other.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    /// Sets a field: in its place where the record has it, else behind the others.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Takes a field out, and returns its value where there was one.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Fields and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The names of the fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// How many fields the record has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// The same fields with the same values, in whatever order: a hash has none.
impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.len() <= MANY {
            return self
                .iter()
                .all(|(name, value)| other.get(name) == Some(value));
        }
        let others: HashMap<_, _> = other.iter().collect();
        self.iter()
            .all(|(name, value)| others.get(name) == Some(&value))
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Record {
    /// A field that comes twice keeps its first place and its last value.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Record {
        let fields = fields.into_iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut record = Record { fields };
        if record.len() > MANY {
            let names: HashSet<_> = record.names().collect();
            if names.len() == record.len() {
                return record;
            }
        }
        for (name, value) in std::mem::take(&mut record.fields) {
            record.set(name, value);
        }
        record
    }
}

impl<N: Into<String>, V: Into<String>, const LEN: usize> From<[(N, V); LEN]> for Record {
    fn from(fields: [(N, V); LEN]) -> Record {
        fields.into_iter().collect()
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                // The names of a hash are distinct, so there is no need to look for each one first.
                // Where they come twice, from another format, the record is refused when it is to
                // be stored.
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Record { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_set_again_keeps_its_place() {
        let mut record = Record::from([("a", "1"), ("b", "2")]);
        record.set("a", "3");
        assert_eq!(record.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
        assert_eq!(record.remove("a").as_deref(), Some("3"));
        assert_eq!(record.len(), 1);
    }

    #[test]
    fn records_are_equal_whatever_their_order() {
        assert_eq!(
            Record::from([("a", "1"), ("b", "2")]),
            Record::from([("b", "2"), ("a", "1")])
        );
        assert_ne!(
            Record::from([("a", "1")]),
            Record::from([("a", "1"), ("b", "2")])
        );
    }

    #[test]
    fn large_records_are_put_together_and_compared_as_small_ones_are() {
        for count in [MANY, 10 * MANY] {
            let fields = || (0..count).map(|number| (format!("f{number}"), "old"));
            let record: Record = fields().collect();
            assert_eq!(record, fields().rev().collect());
            let again: Record = fields().chain([("f1".to_owned(), "new")]).collect();
            assert_eq!(again.len(), count);
            assert_eq!(again.iter().nth(1), Some(("f1", "new")));
            assert_ne!(record, again);
            let another = fields().skip(1).chain([("other".to_owned(), "old")]);
            assert_ne!(record, another.collect());
        }
    }
}
