//! Rust type → fields.

use std::{
    error,
    fmt::{self, Display},
};

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};

use super::{Fields, check_length, check_name};
use crate::error::Error;

/// Takes a record apart.
///
/// # Errors
///
/// [`Error::Record`] for what is no flat record: nested or sequence values, no field at all, a name that
/// is the cache's own.
pub(crate) fn to_fields<R: Serialize>(record: &R) -> Result<Fields, Error> {
    let fields = record.serialize(Flat { fields: Vec::new() })?;
    if fields.is_empty() {
        return Err(Error::Record {
            field: None,
            reason: "it has no field, and Redis keeps no empty hash".to_owned(),
        });
    }
    for (name, value) in &fields {
        check_name(name)?;
        check_length(name, value)?;
    }
    Ok(fields)
}

/// Why a record cannot be stored. Serde wants an error type of its own; this one stays in this file.
#[derive(Debug)]
struct Unstorable {
    field: Option<String>,
    reason: String,
}

impl From<Unstorable> for Error {
    fn from(Unstorable { field, reason }: Unstorable) -> Error {
        Error::Record { field, reason }
    }
}

impl Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl error::Error for Unstorable {}

impl ser::Error for Unstorable {
    fn custom<T: Display>(reason: T) -> Unstorable {
        Unstorable {
            field: None,
            reason: reason.to_string(),
        }
    }
}

/// Names the field at which an error came up.
fn at(name: &[u8], error: Unstorable) -> Unstorable {
    Unstorable {
        field: Some(String::from_utf8_lossy(name).into_owned()),
        ..error
    }
}

/// Refuses each listed shape with one reason.
macro_rules! refuse {
    ($reason:expr; $($method:ident($($arg:ty),*) -> $ok:ty;)+) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok, Unstorable> {
            Err(ser::Error::custom($reason))
        })+
    };
}

/// The record itself: a struct or a map, under whatever newtypes and `Some`s.
struct Flat {
    fields: Fields,
}

/// The same, between the name and the value of a map's field.
struct FlatMap {
    fields: Fields,
    name: Vec<u8>,
}

impl Flat {
    fn push<T: Serialize + ?Sized>(&mut self, name: &[u8], value: &T) -> Result<(), Unstorable> {
        if let Some(value) = value.serialize(Text).map_err(|error| at(name, error))? {
            self.fields.push((name.to_vec(), value));
        }
        Ok(())
    }
}

const NO_RECORD: &str = "a record is a struct or a map with flat fields";

impl Serializer for Flat {
    type Ok = Fields;
    type Error = Unstorable;
    type SerializeStruct = Flat;
    type SerializeMap = FlatMap;
    type SerializeSeq = Impossible<Fields, Unstorable>;
    type SerializeTuple = Impossible<Fields, Unstorable>;
    type SerializeTupleStruct = Impossible<Fields, Unstorable>;
    type SerializeTupleVariant = Impossible<Fields, Unstorable>;
    type SerializeStructVariant = Impossible<Fields, Unstorable>;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Flat, Unstorable> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<FlatMap, Unstorable> {
        Ok(FlatMap {
            fields: self.fields,
            name: Vec::new(),
        })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        record: &T,
    ) -> Result<Fields, Unstorable> {
        record.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, record: &T) -> Result<Fields, Unstorable> {
        record.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Fields, Unstorable> {
        Err(ser::Error::custom(NO_RECORD))
    }

    refuse! { NO_RECORD;
        serialize_bool(bool) -> Fields;
        serialize_i8(i8) -> Fields;
        serialize_i16(i16) -> Fields;
        serialize_i32(i32) -> Fields;
        serialize_i64(i64) -> Fields;
        serialize_u8(u8) -> Fields;
        serialize_u16(u16) -> Fields;
        serialize_u32(u32) -> Fields;
        serialize_u64(u64) -> Fields;
        serialize_f32(f32) -> Fields;
        serialize_f64(f64) -> Fields;
        serialize_char(char) -> Fields;
        serialize_str(&str) -> Fields;
        serialize_bytes(&[u8]) -> Fields;
        serialize_none() -> Fields;
        serialize_unit() -> Fields;
        serialize_unit_struct(&'static str) -> Fields;
        serialize_unit_variant(&'static str, u32, &'static str) -> Fields;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

impl ser::SerializeStruct for Flat {
    type Ok = Fields;
    type Error = Unstorable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unstorable> {
        self.push(name.as_bytes(), value)
    }

    fn end(self) -> Result<Fields, Unstorable> {
        Ok(self.fields)
    }
}

impl ser::SerializeMap for FlatMap {
    type Ok = Fields;
    type Error = Unstorable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Unstorable> {
        self.name = name
            .serialize(Text)?
            .ok_or_else(|| ser::Error::custom("a field needs a name"))?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unstorable> {
        let name = std::mem::take(&mut self.name);
        if let Some(value) = value.serialize(Text).map_err(|error| at(&name, error))? {
            self.fields.push((name, value));
        }
        Ok(())
    }

    fn end(self) -> Result<Fields, Unstorable> {
        Ok(self.fields)
    }
}

/// One value, as text or bytes; `None` where the field is to be left out.
struct Text;

const NESTED: &str =
    "a hash field holds one flat value, no list, map or struct (bytes: `serde_bytes`)";

/// Writes each listed scalar as Rust prints it.
macro_rules! as_text {
    ($($method:ident($scalar:ty);)+) => {
        $(fn $method(self, value: $scalar) -> Result<Option<Vec<u8>>, Unstorable> {
            Ok(Some(value.to_string().into_bytes()))
        })+
    };
}

impl Serializer for Text {
    type Ok = Option<Vec<u8>>;
    type Error = Unstorable;
    type SerializeSeq = Impossible<Self::Ok, Unstorable>;
    type SerializeTuple = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleStruct = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleVariant = Impossible<Self::Ok, Unstorable>;
    type SerializeMap = Impossible<Self::Ok, Unstorable>;
    type SerializeStruct = Impossible<Self::Ok, Unstorable>;
    type SerializeStructVariant = Impossible<Self::Ok, Unstorable>;

    as_text! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Self::Ok, Unstorable> {
        Ok(Some(value.to_vec()))
    }

    fn serialize_none(self) -> Result<Self::Ok, Unstorable> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Unstorable> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Self::Ok, Unstorable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Self::Ok, Unstorable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, Unstorable> {
        Err(ser::Error::custom(NESTED))
    }

    refuse! { NESTED;
        serialize_unit() -> Self::Ok;
        serialize_unit_struct(&'static str) -> Self::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}
