//! Stores one field of a record as JSON: for `#[serde(with = "cache_aside::as_json")]`.
//!
//! A record is a flat hash. If one of its fields is a list, a map, a struct, a tuple or an enum
//! with contents, this attribute stores that field as JSON text. The others stay as they are, so
//! they can be read and updated one by one. Without it, the whole record would need a
//! [`Json`](crate::Json).
//!
//! ```
//! use std::{collections::HashSet, convert::Infallible};
//!
//! use cache_aside::{Cache, Memory};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Product {
//!     name: String,
//!     price_cents: u32,
//!     #[serde(with = "cache_aside::as_json")]
//!     tags: HashSet<String>,
//!     #[serde(with = "cache_aside::as_json")]
//!     sizes: Option<Vec<(u32, u32)>>,
//! }
//!
//! let cache: Cache<Product> =
//!     Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
//! cache.get("p-001", |_id| {
//!     Ok::<_, Infallible>(Some(Product {
//!         name: "Rye Loaf".into(),
//!         price_cents: 650,
//!         tags: HashSet::from(["bread".into()]),
//!         sizes: None,
//!     }))
//! })?;
//! let fields = cache.get_fields("p-001", &["tags", "sizes", "price_cents"])?.unwrap();
//! let fields = fields.record().unwrap();
//! assert_eq!(&fields["tags"], r#"["bread"]"#);
//! assert_eq!(&fields["sizes"], "null");
//! assert_eq!(&fields["price_cents"], "650");
//!
//! // The new value of such a field is JSON. Any other text removes the record.
//! assert!(cache.update_field("p-001", "sizes", "[[30,12]]")?);
//! # Ok::<_, cache_aside::Error>(())
//! ```
//!
//! The value is cached only if it comes back unchanged, by the rules of [`Json`](crate::Json).
//! Otherwise the reason names the field, and the place in it. An `Option` that is `None` is stored
//! as `null`. To leave the field out instead, add `default` and
//! `skip_serializing_if = "Option::is_none"`. An entry without the field is unreadable unless the
//! field has a `default`.
//!
//! Serde uses the attribute for every format. So if the type is also sent as JSON, this field is a
//! string there.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use super::{JsonText, Parsed};

/// Serializes a field as JSON text. Called by the code that serde derives.
///
/// # Errors
///
/// The value cannot be stored as JSON that is read back as the same value.
pub fn serialize<T, S>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Serialize,
    S: Serializer,
{
    JsonText(value).serialize(serializer)
}

/// Deserializes a field from JSON text. Called by the code that serde derives.
///
/// # Errors
///
/// The field is not JSON of this type.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    Parsed::deserialize(deserializer).map(|parsed| parsed.0)
}
