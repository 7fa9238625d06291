//! The schema of an entry: a number in a reserved field beside the fields of the record.
//!
//! Guarantees that programs with different record types never read each other's records, although
//! they share the keys. A cached "no such record" has no schema: it is the same for every type.
//! Called wherever fields are made from a record, or a record from fields.

use std::fmt;

/// The name of the field. An entry without it was filled by a cache without the setting.
pub(super) const SCHEMA: &[u8] = b"__cache_aside_schema";

/// The schema of a cache. By default it has none.
#[derive(Clone, Default)]
pub(crate) struct Schema {
    /// The number as it is stored, so that a hit formats nothing.
    number: Option<Box<str>>,
}

impl Schema {
    pub(crate) fn new(number: u32) -> Schema {
        Schema {
            number: Some(number.to_string().into()),
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.number.is_none()
    }

    /// Whether this is the schema with the stored number.
    pub(super) fn is(&self, stored: &[u8]) -> bool {
        let number = self.number.as_deref();
        number.is_some_and(|number| number.as_bytes() == stored)
    }

    /// Whether a record whose schema field has this value, if it has one, is one of this schema.
    pub(super) fn admits(&self, stored: Option<&[u8]>) -> bool {
        match stored {
            Some(stored) => self.is(stored),
            None => self.is_none(),
        }
    }

    /// The field of this schema. `None` if there is no schema.
    pub(super) fn field(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let number = self.number.as_deref()?;
        Some((SCHEMA.to_vec(), number.into()))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.number {
            Some(number) => write!(f, "Schema({number})"),
            None => f.write_str("None"),
        }
    }
}

/// Why an entry is no record for a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// It belongs to caches with another schema, or to caches with a schema if this one has none,
    /// or the reverse. Whether it would decode does not matter.
    OtherSchema,
    /// It is not a record of the cache's type.
    Unreadable,
    /// It was loaded before the latest invalidation of one of its tags, or under no tags.
    OlderThanTag,
}
