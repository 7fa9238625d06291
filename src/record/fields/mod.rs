//! The fields of a record in a Redis hash, and their conversion from and to Rust types.
//!
//! Uses serde and does not know Redis. A scalar is text, in the shortest form from which Rust reads
//! exactly the same value. Bytes are stored as they are. The field of a `None` is left out. A
//! record that has no field to store gets a marker, because Redis cannot store an empty hash.

pub(crate) mod de;
pub(crate) mod differing;
pub(crate) mod json_eq;
pub(crate) mod part;
pub(crate) mod round_trip;
pub(crate) mod scalar;
pub(crate) mod schema;
pub(crate) mod ser;
pub(crate) mod set_field;
pub(crate) mod tag_fields;

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::de::from_fields;
pub(crate) use self::differing::{Differing, differing};
pub(crate) use self::scalar::Unstorable;
#[cfg(feature = "json")]
pub(crate) use self::scalar::{JSON, JSON_REFUSED, OWN_ERROR};
pub(crate) use self::schema::{Schema, Undecodable};
pub(crate) use self::set_field::{FieldChange, set_field};

/// Names and values, in order. Both may hold any bytes.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Serializes a record, after a check that deserializing it would return the same record. The last
/// field is that of the schema, if there is one.
///
/// # Errors
///
/// [`Unstorable`] in three cases: the record is not flat (nested values, sequences), it would be
/// read back as something else, or a name is reserved for the cache. The error names the field of a
/// struct, but never the key of a map.
pub(crate) fn to_fields<R: Serialize + DeserializeOwned>(
    record: &R,
    schema: &Schema,
) -> Result<Fields, Unstorable> {
    let parts = ser::serialize(record)?;
    let is_map = parts.iter().any(|part| part.is_key);
    let fields = checked::<R>(parts).map_err(|why| Unstorable {
        field: why.field.filter(|_| !is_map),
        ..why
    });
    let mut fields = fields?;
    fields.extend(schema.field());
    Ok(fields)
}

fn checked<R: Serialize + DeserializeOwned>(
    parts: Vec<ser::SerializedField>,
) -> Result<Fields, Unstorable> {
    for ser::SerializedField { name, value, .. } in &parts {
        check_name(&name.1)?;
        check_length(&name.1, value.as_ref().map_or(&[], |(_, value)| value))?;
    }
    round_trip::check::<R>(&parts)?;
    let stored = parts.into_iter();
    let mut fields: Fields = stored
        .filter_map(|part| Some((part.name.1, part.value?.1)))
        .collect();
    if fields.is_empty() {
        fields.push((EMPTY.to_vec(), b"1".to_vec()));
    }
    Ok(fields)
}

/// The names of the fields that are stored of a record.
pub(crate) fn names<R: Serialize>(record: &R) -> Result<Vec<Vec<u8>>, Unstorable> {
    let parts = ser::serialize(record)?.into_iter();
    Ok(parts
        .filter(|part| part.value.is_some())
        .map(|part| part.name.1)
        .collect())
}

/// The only field of a cached "no such record". `expire.lua` has the same name.
pub(crate) const NOT_FOUND: &[u8] = b"__cache_aside_not_found";

/// A cached "no such record".
pub(crate) fn not_found() -> Fields {
    vec![(NOT_FOUND.to_vec(), b"1".to_vec())]
}

/// The only field of a cached record that has no field of its own, except for that of its schema. A
/// program that adds a field to such an entry may leave the marker there, so it counts as no field
/// in any entry.
pub(crate) const EMPTY: &[u8] = b"__cache_aside_empty";

/// Whether a name is reserved for the cache.
fn is_own(name: &[u8]) -> bool {
    name.starts_with(b"__cache_aside")
}

/// The limit of Redis (`proto-max-bulk-len`). It closes the connection in the middle of a longer
/// string.
const LONGEST: usize = 512 << 20;

/// Refuses a name or a value that is too long to be sent.
pub(crate) fn check_length(name: &[u8], value: &[u8]) -> Result<(), Unstorable> {
    if name.len().max(value.len()) > LONGEST {
        let long = "it is longer than 512 MiB, the limit of Redis";
        return Err(Unstorable::new(long).at(name));
    }
    Ok(())
}

/// Refuses the names that are reserved for the cache.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Unstorable> {
    if is_own(name) {
        let own = "names that begin with `__cache_aside` are reserved for the cache";
        return Err(Unstorable::new(own).at(name));
    }
    Ok(())
}
