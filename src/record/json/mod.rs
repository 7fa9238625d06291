//! Values of any shape as JSON: the whole record in one field, or one field of a record.
//!
//! Knows only serde. For the rest of the crate, `Json` is a struct with one text field, which is
//! compared after a round trip.

pub mod as_json;
pub(crate) mod lossless;
pub(crate) mod place;

use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor},
    ser::{self, SerializeStruct},
};

use self::lossless::to_text;
use super::fields::{JSON, JSON_REFUSED};

/// A record of any shape, also a nested one. It is stored as JSON text in a single field, `json`.
///
/// For types that a flat hash cannot hold: lists, structs in structs, enums with contents, tuples.
/// Other programs read it with `HGET cache:order:1 json`. Do not use it for a flat type, whose
/// fields can be read and updated one by one. If only some fields are not flat, use
/// [`as_json`](crate::as_json) for these.
///
/// ```no_run
/// use std::{convert::Infallible, time::Duration};
///
/// use cache_aside::{Cache, Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Order {
///     customer: String,
///     lines: Vec<Line>,
///     delivery: Option<Duration>,
/// }
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Line {
///     product: String,
///     pieces: u32,
/// }
///
/// let orders: Cache<Json<Order>> =
///     Cache::builder("redis://localhost:6379").prefix("cache:order:").build()?;
/// let found = orders.get("1", |_id| {
///     Ok::<_, Infallible>(Some(Json(Order {
///         customer: "c-7".into(),
///         lines: vec![Line { product: "p-001".into(), pieces: 2 }],
///         delivery: None,
///     })))
/// })?;
/// assert_eq!(found.record().unwrap().lines[0].pieces, 2);
///
/// // To change a part of it:
/// orders.update("1", |order| {
///     let mut order = order.clone();
///     order.lines[0].pieces += 1;
///     Some(order)
/// })?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
///
/// # Updates
///
/// [`update`](crate::Cache::update) changes a part of the value.
/// [`update_field`](crate::Cache::update_field) does not look into the JSON. For the field `json`
/// it replaces the whole text, which must be JSON of the type. With any other field, it removes the
/// cached record.
///
/// # Values that are not cached
///
/// A value is cached only if it comes back unchanged, with every bit of its numbers. Otherwise
/// `get` returns it and counts it in [`unstorable_records`](crate::Stats::unstorable_records), and
/// `update` fails with [`Error::InvalidRecord`](crate::Error::InvalidRecord).
///
/// For the following values, the reason names the place in the value:
///
/// - NaN and infinities: JSON would turn them into `null`.
/// - `null` within a `Some`, as in `Some(None)` or `Some(())`: it would come back as `None`.
/// - Keys of a map that are neither text nor numbers.
/// - Nesting deeper than 127.
///
/// A value is also not cached if reading it back and writing it again would give different JSON:
///
/// - A skipped field that a `default` replaces.
/// - A value that fits an earlier variant of an `untagged` enum.
/// - A map with a key twice.
/// - A text that a type writes differently each time.
///
/// The check cannot see what the JSON does not contain: a field with `#[serde(skip)]`, a value that
/// is skipped because it equals its `default`, or two variants that write the same text. Serde does
/// not support numbers beyond 64 bits in an `untagged` enum or in a flattened value.
///
/// An entry is a miss if its field `json` is missing, is not JSON, or is JSON of another type. It
/// counts as [unreadable](crate::Stats::unreadable_entries), and the next fill replaces it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub struct Json<T>(pub T);

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Json<T> {
        Json(value)
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

const FIELD: &str = "json";

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Json", 1)?;
        fields.serialize_field(FIELD, &JsonText(&self.0))?;
        fields.end()
    }
}

/// The JSON text. It is made here, so that an error belongs to the field `json`.
struct JsonText<'a, T>(&'a T);

impl<T: Serialize> Serialize for JsonText<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match to_text(self.0) {
            // `round_trip.rs` recognizes this name, and then compares the text.
            Ok(text) => serializer.serialize_newtype_struct(JSON, &text),
            Err(reason) => {
                // This crate's serializer fails here, with the reason. Any other serializer must
                // fail too.
                serializer.serialize_newtype_struct(JSON_REFUSED, &reason)?;
                Err(ser::Error::custom(reason))
            }
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<T>, D::Error> {
        deserializer.deserialize_struct("Json", &[FIELD], JsonVisitor(PhantomData))
    }
}

struct JsonVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for JsonVisitor<T> {
    type Value = Json<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field `json` of JSON text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<T>, A::Error> {
        let mut value = None;
        while let Some(Name { is_ours }) = map.next_key()? {
            if is_ours {
                value = Some(map.next_value::<Parsed<T>>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let value = value.ok_or_else(|| de::Error::missing_field(FIELD))?;
        Ok(Json(value))
    }
}

/// The name of a field. A name that another program wrote may be any bytes.
struct Name {
    is_ours: bool,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                self.visit_bytes(name.as_bytes())
            }

            fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<Name, E> {
                let is_ours = name == FIELD.as_bytes();
                Ok(Name { is_ours })
            }
        }

        deserializer.deserialize_identifier(Bytes)
    }
}

struct Parsed<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parsed<T>, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: DeserializeOwned> Visitor<'_> for TextVisitor<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
                serde_json::from_str(text).map(Parsed).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}
