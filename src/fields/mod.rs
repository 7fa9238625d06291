//! A record as it lies in a Redis hash, and the way from and to Rust types.
//!
//! Knows serde and nothing of Redis. Scalars are text, in Rust's shortest form that reads back to the last
//! bit; bytes are themselves; `None` leaves its field out.

mod de;
mod ser;

pub(crate) use de::from_fields;
pub(crate) use ser::to_fields;

/// Names and values, in order. Both are binary safe.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Field names that begin like this are the cache's own.
pub(crate) const RESERVED: &[u8] = b"__cache_aside";
