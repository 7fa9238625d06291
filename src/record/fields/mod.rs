//! A record as it lies in a Redis hash, and the way from and to Rust types.
//!
//! Knows serde and nothing of Redis. Scalars are text, in Rust's shortest form that reads back to
//! the last bit; bytes are themselves; `None` leaves its field out.

pub(crate) mod de;
pub(crate) mod json_eq;
pub(crate) mod round_trip;
pub(crate) mod scalar;
pub(crate) mod ser;

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::de::{Undecodable, from_fields};
pub(crate) use self::scalar::Unstorable;
#[cfg(feature = "json")]
pub(crate) use self::scalar::{JSON, JSON_REFUSED, OWN_ERROR};

/// Names and values, in order. Both are binary safe.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Takes a record apart, and proves that it comes back.
///
/// # Errors
///
/// [`Unstorable`] for what is no flat record (nested or sequence values, no field at all), for what
/// would
/// come back other than it is, and for a name that is the cache's own. It names the field of a
/// struct, and no key of a map.
pub(crate) fn to_fields<R: Serialize + DeserializeOwned>(record: &R) -> Result<Fields, Unstorable> {
    let parts = ser::serialize(record)?;
    let is_map = parts.iter().any(|part| part.is_key);
    checked::<R>(parts).map_err(|why| Unstorable {
        field: why.field.filter(|_| !is_map),
        ..why
    })
}

fn checked<R: Serialize + DeserializeOwned>(parts: Vec<ser::Part>) -> Result<Fields, Unstorable> {
    if parts.iter().all(|part| part.value.is_none()) {
        let empty = "it has no field, and Redis keeps no empty hash";
        return Err(Unstorable::new(empty));
    }
    for ser::Part { name, value, .. } in &parts {
        check_name(&name.1)?;
        check_length(&name.1, value.as_ref().map_or(&[], |(_, value)| value))?;
    }
    round_trip::check::<R>(&parts)?;
    let stored = parts.into_iter();
    Ok(stored
        .filter_map(|part| Some((part.name.1, part.value?.1)))
        .collect())
}

/// The names of the fields that a record has.
pub(crate) fn names<R: Serialize>(record: &R) -> Result<Vec<Vec<u8>>, Unstorable> {
    let parts = ser::serialize(record)?.into_iter();
    Ok(parts
        .filter(|part| part.value.is_some())
        .map(|part| part.name.1)
        .collect())
}

/// The one field of an entry which says that the primary has no such record. `update_field.lua`
/// knows it too.
pub(crate) const NOT_FOUND: &[u8] = b"__cache_aside_not_found";

/// That entry.
pub(crate) fn not_found() -> Fields {
    vec![(NOT_FOUND.to_vec(), b"1".to_vec())]
}

/// Whether a name is the cache's own.
fn is_own(name: &[u8]) -> bool {
    name.starts_with(b"__cache_aside")
}

/// Redis itself takes no longer string (`proto-max-bulk-len`), and hangs up in the middle of one.
const LONGEST: usize = 512 << 20;

/// Refuses what is too long to be sent.
pub(crate) fn check_length(name: &[u8], value: &[u8]) -> Result<(), Unstorable> {
    if name.len().max(value.len()) > LONGEST {
        let long = "it is longer than 512 MiB, the longest that Redis takes";
        return Err(Unstorable::new(long).at(name));
    }
    Ok(())
}

/// Refuses the names that are the cache's own.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Unstorable> {
    if is_own(name) {
        let own = "names that begin with `__cache_aside` belong to the cache";
        return Err(Unstorable::new(own).at(name));
    }
    Ok(())
}
