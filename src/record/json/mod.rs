//! Records of any shape: the whole value as JSON, in one field.
//!
//! Knows serde alone: to the rest of the crate it is a struct with one field of text, which is
//! proved to come back.

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

/// A record of any shape, nested ones too: stored as JSON text in the one field `json`.
///
/// For what a flat hash can't hold: lists, structs in structs, enums with contents, tuples. Other
/// programs read it with `HGET cache:order:1 json`. A flat type is better off without it, since its
/// fields can be read and updated one by one.
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
/// [`update`](crate::Cache::update) changes a part of the value,
/// [`invalidate`](crate::Cache::invalidate) ends it. [`update_field`](crate::Cache::update_field)
/// knows nothing of what is in the JSON: on the field `json` it replaces the whole text, and any
/// other field lies beside it and is never read.
///
/// # What comes back
///
/// What went in, numbers to the last bit, or it is not cached: `get` returns it and counts it in
/// [`unstorable_records`](crate::Stats::unstorable_records), and `update` fails with
/// [`Error::InvalidRecord`](crate::Error::InvalidRecord). The reason names the place in the value of: NaN and
/// infinities, which JSON would turn into `null`; what is `null` within a `Some`, as in
/// `Some(None)` or `Some(())`, which would come back as `None`; keys of a map that are no text or
/// number; nesting deeper than 127. Not cached as a whole: what its type reads back as something
/// else, so that it would write another JSON (in whatever order). That is what a `default` replaces
/// though it was skipped, what fits an earlier variant of an `untagged` enum, a map with a key
/// twice, and a text that a type writes otherwise each time. What isn't in the JSON can't be seen:
/// `#[serde(skip)]`, a value that is skipped as its `default` is, or two variants that write the
/// same. Numbers beyond 64 bits don't fit into an `untagged` enum, nor into what is flattened: that
/// is how serde and its JSON define them.
///
/// An entry whose field `json` is missing, no JSON, or the JSON of another type is a miss, counted
/// as [unreadable](crate::Stats::unreadable_entries), and the next fill replaces it.
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
        fields.serialize_field(FIELD, &Text(&self.0))?;
        fields.end()
    }
}

/// The text. Made only here, so that what is wrong with it is wrong with the field.
struct Text<'a, T>(&'a T);

impl<T: Serialize> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match to_text(self.0) {
            // By this name the proof knows that the text is to come back.
            Ok(text) => serializer.serialize_newtype_struct(JSON, &text),
            Err(reason) => {
                // Our own serializer fails with the reason. Any other one must fail, too.
                serializer.serialize_newtype_struct(JSON_REFUSED, &reason)?;
                Err(ser::Error::custom(reason))
            }
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<T>, D::Error> {
        deserializer.deserialize_struct("Json", &[FIELD], Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Fields<T> {
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

/// The name of a field; another program's may be no text.
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
        struct Text<T>(PhantomData<T>);

        impl<T: DeserializeOwned> Visitor<'_> for Text<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
                serde_json::from_str(text).map(Parsed).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}
