//! The default record type: named strings, in order.

pub(crate) mod any;
pub(crate) mod fields;
#[cfg(feature = "json")]
pub(crate) mod json;

use std::{
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    iter, mem,
    ops::Index,
    slice, vec,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

/// With more fields than this, building a map of them takes less time than comparing each with all
/// others.
const MANY: usize = 32;

/// A record of named strings that keeps the order of its fields, like a small Redis hash.
///
/// A record may be of any other flat type that serde can serialize: a struct of your own or a
/// `HashMap<String, String>`. See [`Cache`](crate::Cache).
///
/// Redis keeps the order of small hashes only: by default up to 128 fields, none longer than 64
/// bytes. The fields of a larger record may come back in another order. So `==` and `Hash` ignore
/// the order.
///
/// ```
/// use cache_aside::Record;
///
/// let mut record = Record::from([("name", "Sourdough Loaf"), ("price_cents", "650")]);
/// assert_eq!(record.insert("price_cents", "699").as_deref(), Some("650"));
/// record.extend([("stock", "42")]);
/// assert_eq!(record.get("price_cents"), Some("699"));
/// assert_eq!(&record["stock"], "42");
/// assert_eq!(record.keys().collect::<Vec<_>>(), ["name", "price_cents", "stock"]);
/// for (name, value) in &record {
///     println!("{name}: {value}");
/// }
/// ```
#[derive(Clone, Default)]
pub struct Record {
    fields: Vec<(String, String)>,
}

impl Record {
    /// Returns a record without fields.
    #[must_use]
    pub fn new() -> Record {
        Record::default()
    }

    /// Returns the value of a field, or `None` if the record does not have it. Compares the name
    /// with one field after the other.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    /// Sets a field and returns its old value. A field that the record already has keeps its
    /// place. A new one becomes the last.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Option<String> {
        let (name, value) = (name.into(), value.into());
        if let Some((_, old)) = self.fields.iter_mut().find(|(field, _)| *field == name) {
            return Some(mem::replace(old, value));
        }
        self.fields.push((name, value));
        None
    }

    /// Removes a field and returns its value, if the record had it. The others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Iterates over the fields, each with its value, in order.
    #[must_use]
    pub fn iter(&self) -> <&Record as IntoIterator>::IntoIter {
        self.into_iter()
    }

    /// Iterates over the names of the fields, in order.
    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.iter().map(|(name, _)| name)
    }

    /// Returns the number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns whether the record has no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Merges fields of the same name into one: in the first place, with the last value.
    fn merge_duplicates(&mut self) {
        let mut places = HashMap::with_capacity(self.len());
        let mut merged: Vec<usize> = Vec::with_capacity(self.len());
        for name in self.keys() {
            let next = places.len();
            merged.push(*places.entry(name).or_insert(next));
        }
        if places.len() == self.len() {
            return;
        }
        let mut fields = Vec::with_capacity(places.len());
        for (field, place) in mem::take(&mut self.fields).into_iter().zip(merged) {
            if place == fields.len() {
                fields.push(field);
            } else {
                fields[place] = field;
            }
        }
        self.fields = fields;
    }
}

/// Returns the value of a field.
///
/// # Panics
///
/// Panics if the record does not have the field. [`get`](Record::get) does not panic.
impl Index<&str> for Record {
    type Output = str;

    #[track_caller]
    fn index(&self, name: &str) -> &str {
        let Some(value) = self.get(name) else {
            panic!("the record has no field `{name}`");
        };
        value
    }
}

/// Two records are equal if they have the same fields with the same values, in any order.
impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.fields == other.fields {
            return true;
        }
        // Sorted, and not looked up by name: a record that another format was deserialized into
        // may have a name twice, and equality must be symmetric for it too.
        let [one, other] = [self, other].map(|record| {
            let mut fields: Vec<_> = record.fields.iter().collect();
            fields.sort_unstable();
            fields
        });
        one == other
    }
}

impl Eq for Record {}

/// Equal records have equal hashes, whatever the order of their fields.
impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A sum does not depend on the order. Each field is hashed on its own, since `state` would
        // remember the fields before it.
        let fields = self.fields.iter().map(|field| {
            let mut hasher = DefaultHasher::new();
            field.hash(&mut hasher);
            hasher.finish()
        });
        state.write_u64(fields.fold(0, u64::wrapping_add));
        state.write_usize(self.len());
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> Extend<(N, V)> for Record {
    /// Sets each field, as [`insert`](Record::insert) does.
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, fields: I) {
        let fields = fields.into_iter();
        let mut fields = fields.map(|(name, value)| (name.into(), value.into()));
        for (name, value) in fields.by_ref() {
            self.insert(name, value);
            if self.len() > MANY {
                break;
            }
        }
        if self.len() > MANY {
            // Collected first: an iterator that panics leaves no duplicate behind.
            let rest: Vec<_> = fields.collect();
            self.fields.extend(rest);
            self.merge_duplicates();
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Record {
    /// A field that occurs twice keeps its first place and its last value.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Record {
        let mut record = Record::new();
        record.extend(fields);
        record
    }
}

impl<N: Into<String>, V: Into<String>, const LEN: usize> From<[(N, V); LEN]> for Record {
    fn from(fields: [(N, V); LEN]) -> Record {
        fields.into_iter().collect()
    }
}

/// The fields and their values, in order.
impl IntoIterator for Record {
    type Item = (String, String);
    type IntoIter = vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

/// The fields and their values, in order.
impl<'a> IntoIterator for &'a Record {
    type Item = (&'a str, &'a str);
    type IntoIter = iter::Map<
        slice::Iter<'a, (String, String)>,
        fn(&'a (String, String)) -> (&'a str, &'a str),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.iter().map(|(name, value)| (name, value))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        struct RecordVisitor;

        impl<'de> Visitor<'de> for RecordVisitor {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                // The names of a hash are distinct, so they are not compared. Another format may
                // have a name twice. Such a record is refused when it is stored.
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Record { fields })
            }
        }

        deserializer.deserialize_map(RecordVisitor)
    }
}

#[cfg(test)]
mod tests;
