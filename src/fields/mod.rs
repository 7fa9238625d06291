//! A record as it lies in a Redis hash, and the way from and to Rust types.
//!
//! Knows serde and nothing of Redis. Scalars are text, in Rust's shortest form that reads back to the last
//! bit; bytes are themselves; `None` leaves its field out.

mod de;
mod ser;

use crate::error::Error;

pub(crate) use de::from_fields;
pub(crate) use ser::to_fields;

/// Names and values, in order. Both are binary safe.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Refuses the names that are the cache's own.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.starts_with(b"__cache_aside") {
        return Err(Error::Record {
            field: Some(String::from_utf8_lossy(name).into_owned()),
            reason: "names that begin with `__cache_aside` belong to the cache".to_owned(),
        });
    }
    Ok(())
}
