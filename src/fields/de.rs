//! Fields → Rust type. Takes the fields by value: a string field moves into the record, it is not copied.

use std::{error, fmt, vec};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{Fields, NOT_FOUND, is_own};

/// An entry that is no record of the wanted type. Keeps no reason: serde's messages quote the value, and
/// no message of ours may.
#[derive(Debug)]
pub(crate) struct Undecodable;

/// Puts a record together. `None`: the entry says that the primary has none.
pub(crate) fn from_fields<R: DeserializeOwned>(fields: Fields) -> Result<Option<R>, Undecodable> {
    if fields.iter().any(|(name, _)| is_own(name)) {
        // With other fields beside it, somebody has added them to an entry that was no record.
        let alone = fields.len() == 1 && fields[0].0 == NOT_FOUND;
        return if alone { Ok(None) } else { Err(Undecodable) };
    }
    R::deserialize(Hash(fields)).map(Some)
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entry is no record of the wanted type")
    }
}

impl error::Error for Undecodable {}

impl de::Error for Undecodable {
    fn custom<T: fmt::Display>(_: T) -> Undecodable {
        Undecodable
    }
}

/// The record itself.
struct Hash(Fields);

impl<'de> Deserializer<'de> for Hash {
    type Error = Undecodable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_map(Pairs {
            rest: self.0.into_iter(),
            value: None,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Name after name, value after value.
struct Pairs {
    rest: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    value: Option<Vec<u8>>,
}

impl<'de> MapAccess<'de> for Pairs {
    type Error = Undecodable;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Undecodable> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(Text(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Undecodable> {
        seed.deserialize(Text(self.value.take().ok_or(Undecodable)?))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// One name or value.
struct Text(Vec<u8>);

impl Text {
    fn string(self) -> Result<String, Undecodable> {
        String::from_utf8(self.0).map_err(|_| Undecodable)
    }
}

/// Reads each listed scalar as Rust parses it.
macro_rules! from_text {
    ($($method:ident $visit:ident;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
            visitor.$visit(self.string()?.parse().map_err(|_| Undecodable)?)
        })+
    };
}

impl<'de> Deserializer<'de> for Text {
    type Error = Undecodable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        match String::from_utf8(self.0) {
            Ok(text) => visitor.visit_string(text),
            Err(no_text) => visitor.visit_byte_buf(no_text.into_bytes()),
        }
    }

    /// `1` and `0` as well: what other languages write for true and false.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        match self.0.as_slice() {
            b"true" | b"1" => visitor.visit_bool(true),
            b"false" | b"0" => visitor.visit_bool(false),
            _ => Err(Undecodable),
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

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_byte_buf(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_byte_buf(self.0)
    }

    /// A field that is there is `Some`; one that is not there never comes here.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant without contents, by its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        visitor.visit_enum(self.string()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
