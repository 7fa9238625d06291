//! Checks that a record can still be read after one of its fields is set.
//!
//! Called by `update_field`, with the fields that are cached. Serde does not list the fields of a
//! type, and a type may read a field without writing it. So the new entry is decoded and serialized
//! again. The check cannot see whether a value that decodes is the value in the primary.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Fields, NOT_FOUND, Schema, Undecodable,
    de::{deserialize, from_fields, remove_own},
    scalar::Unstorable,
    ser,
};

const UNREADABLE: &str = "the type cannot be deserialized with this value";
const UNKNOWN: &str = "the type has no such field, or leaves it out at this value";

/// What setting a field makes of an entry.
pub(crate) enum FieldChange {
    /// A record that has the field.
    Set,
    /// The entry said that no record exists.
    NotFound,
    /// The entry was no record for this cache before, either.
    Undecodable(Undecodable),
    /// The type cannot read this field, or does not have it.
    Refused(Unstorable),
}

/// What setting this field would make of an entry.
pub(crate) fn set_field<R>(
    entry: &Fields,
    field: &[u8],
    value: &[u8],
    schema: &Schema,
) -> FieldChange
where
    R: Serialize + DeserializeOwned,
{
    if entry.iter().any(|(name, _)| name == NOT_FOUND) {
        return FieldChange::NotFound;
    }
    let mut new = entry.clone();
    if let Err(why) = remove_own(&mut new, schema) {
        return FieldChange::Undecodable(why);
    }
    new.retain(|(name, _)| name != field);
    new.push((field.to_vec(), value.to_vec()));
    let why = match deserialize(new, &[]).map(|record: R| ser::serialize(&record)) {
        Ok(Ok(parts)) => {
            let mut stored = parts.iter().filter(|part| part.value.is_some());
            if stored.any(|part| part.name.1 == field) {
                return FieldChange::Set;
            }
            Unstorable::new(UNKNOWN)
        }
        Ok(Err(why)) => why,
        Err(_) => Unstorable::new(UNREADABLE),
    };
    // Decoded without the field, to find out what is at fault, and whether its name may be shown.
    let old = from_fields::<R>(entry.clone(), schema);
    match old.map(|record| record.as_ref().map(ser::serialize)) {
        Ok(Some(Ok(parts))) if parts.iter().any(|part| part.is_key) => FieldChange::Refused(why),
        Ok(Some(_)) => FieldChange::Refused(why.at(field)),
        Ok(None) | Err(_) => FieldChange::Undecodable(Undecodable::Unreadable),
    }
}
