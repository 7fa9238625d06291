//! Converts fields to a Rust type. Takes the fields by value, so that a string is moved into the
//! record and not copied.

use std::{fmt, vec};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    EMPTY, Fields, NOT_FOUND, is_own,
    scalar::ScalarKind,
    schema::{SCHEMA, Schema, Undecodable},
};

/// Deserializes a record. `None`: the entry says that the primary has no such record.
pub(crate) fn from_fields<R: DeserializeOwned>(
    mut fields: Fields,
    schema: &Schema,
) -> Result<Option<R>, Undecodable> {
    if fields.len() == 1 && fields[0].0 == NOT_FOUND {
        return Ok(None);
    }
    remove_own(&mut fields, schema)?;
    let record = deserialize(fields, &[]);
    record.map(Some).map_err(|_| Undecodable::Unreadable)
}

/// Removes the fields of the cache from an entry, and leaves those of the record.
///
/// # Errors
///
/// The entry is no record for a cache with this schema.
pub(super) fn remove_own(fields: &mut Fields, schema: &Schema) -> Result<(), Undecodable> {
    let (mut is_known, mut is_empty, mut is_same) = (true, false, schema.is_none());
    fields.retain(|(name, value)| {
        if !is_own(name) {
            return true;
        }
        match &**name {
            EMPTY => is_empty = true,
            SCHEMA => is_same = schema.is(value),
            // A name that a later version may know, or a cached "no such record" to which another
            // program has added fields.
            _ => is_known = false,
        }
        false
    });
    if !is_known {
        return Err(Undecodable::Unreadable);
    }
    if !is_same {
        return Err(Undecodable::OtherSchema);
    }
    // Another program has deleted all fields of the record. Without a schema, Redis would have
    // deleted the entry with them.
    if fields.is_empty() && !is_empty && !schema.is_none() {
        return Err(Undecodable::Unreadable);
    }
    Ok(())
}

/// Deserializes a record from fields that all belong to it. `kinds`: the kind of each value in
/// Rust, if known. With it, a number is refused to a type that asks for a value of any kind.
pub(super) fn deserialize<R: DeserializeOwned>(
    fields: Fields,
    kinds: &[ScalarKind],
) -> Result<R, Stop> {
    R::deserialize(Hash { fields, kinds })
}

/// Where deserializing a record failed. It keeps no reason: serde's messages quote the value, and
/// messages of this crate must not.
#[derive(Debug, thiserror::Error)]
#[error("the entry is not a record of this type")]
pub(super) enum Stop {
    /// At the field with this index.
    At(usize),
    /// At the field with this index. It was a number, and the type asked for a value of any kind.
    Asked(usize),
    /// This field is missing.
    Missing(&'static str),
    /// At an unknown place.
    Somewhere,
}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Stop {
        Stop::Somewhere
    }

    fn missing_field(name: &'static str) -> Stop {
        Stop::Missing(name)
    }
}

/// The record itself.
struct Hash<'k> {
    fields: Fields,
    kinds: &'k [ScalarKind],
}

impl<'de> Deserializer<'de> for Hash<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_map(Pairs {
            rest: self.fields.into_iter(),
            kinds: self.kinds,
            value: None,
            count: 0,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.fields.is_empty() {
            return visitor.visit_unit();
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The remaining fields, read one by one.
struct Pairs<'k> {
    rest: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    kinds: &'k [ScalarKind],
    /// The value of the name that was read last.
    value: Option<Vec<u8>>,
    /// How many values have been read.
    count: usize,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(FieldText::plain(name))
            .map(Some)
            .map_err(|_| Stop::At(self.count))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let nth = self.count;
        self.count += 1;
        let text = FieldText {
            bytes: self.value.take().ok_or(Stop::At(nth))?,
            number: (self.kinds.get(nth) == Some(&ScalarKind::Number)).then_some(nth),
        };
        seed.deserialize(text).map_err(|stop| match stop {
            Stop::Asked(_) => stop,
            _ => Stop::At(nth),
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// One name or value.
struct FieldText {
    bytes: Vec<u8>,
    /// The number of the field, if its value is known to have been a number or a `bool`.
    number: Option<usize>,
}

impl FieldText {
    fn plain(bytes: Vec<u8>) -> FieldText {
        FieldText {
            bytes,
            number: None,
        }
    }

    fn string(self) -> Result<String, Stop> {
        String::from_utf8(self.bytes).map_err(|_| Stop::Somewhere)
    }
}

/// Parses each listed scalar as Rust does.
macro_rules! from_text {
    ($($method:ident $visit:ident;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.$visit(self.string()?.parse().map_err(|_| Stop::Somewhere)?)
        })+
    };
}

impl<'de> Deserializer<'de> for FieldText {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if let Some(nth) = self.number {
            return Err(Stop::Asked(nth));
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => visitor.visit_string(text),
            Err(no_text) => visitor.visit_byte_buf(no_text.into_bytes()),
        }
    }

    /// Accepts `1` and `0` too: other languages write them for true and false.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.bytes.as_slice() {
            b"true" | b"1" => visitor.visit_bool(true),
            b"false" | b"0" => visitor.visit_bool(false),
            _ => Err(Stop::Somewhere),
        }
    }

    from_text! {
        deserialize_i8 visit_i8;
        deserialize_i16 visit_i16;
        deserialize_i32 visit_i32;
        deserialize_i64 visit_i64;
        deserialize_i128 visit_i128;
        deserialize_u8 visit_u8;
        deserialize_u16 visit_u16;
        deserialize_u32 visit_u32;
        deserialize_u64 visit_u64;
        deserialize_u128 visit_u128;
        deserialize_f32 visit_f32;
        deserialize_f64 visit_f64;
        deserialize_char visit_char;
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_byte_buf(self.bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_byte_buf(self.bytes)
    }

    /// An existing field is `Some`. Serde does not call this for a missing field.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    /// Reads a variant without contents from its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_enum(self.string()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
