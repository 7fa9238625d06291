//! Rust type → parts, one for each field.

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};

use super::scalar::{ScalarKind, Stored, Unstorable, refuse, store};

/// A field of a record.
#[derive(Debug)]
pub(super) struct SerializedField {
    pub(super) name: Stored,
    /// Whether the name is a key of a map: content that no error may show. All names of a struct
    /// with a flattened field are such keys.
    pub(super) is_key: bool,
    /// `None`: the field is left out.
    pub(super) value: Option<Stored>,
}

/// Serializes a record into its parts.
pub(super) fn serialize<R: Serialize>(record: &R) -> Result<Vec<SerializedField>, Unstorable> {
    record.serialize(Flat { parts: Vec::new() })
}

/// The record itself: a struct or a map, within any newtypes and `Some`s.
struct Flat {
    parts: Vec<SerializedField>,
}

/// A map. At times only the name of its next field is known.
struct FlatMap {
    parts: Vec<SerializedField>,
    name: Option<Stored>,
}

const NO_RECORD: &str = "a record is a struct or a map with flat fields; \
    `Json` stores any other value (feature `json`)";
const NO_NAME: &str = "a map's key must be text or a number, because it becomes the name of a \
    field";

impl Serializer for Flat {
    type Ok = Vec<SerializedField>;
    type Error = Unstorable;
    type SerializeStruct = Flat;
    type SerializeMap = FlatMap;
    type SerializeSeq = Impossible<Self::Ok, Unstorable>;
    type SerializeTuple = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleStruct = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleVariant = Impossible<Self::Ok, Unstorable>;
    type SerializeStructVariant = Impossible<Self::Ok, Unstorable>;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Flat, Unstorable> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<FlatMap, Unstorable> {
        Ok(FlatMap {
            parts: self.parts,
            name: None,
        })
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Self::Ok, Unstorable> {
        Ok(self.parts)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        record: &T,
    ) -> Result<Self::Ok, Unstorable> {
        record.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, record: &T) -> Result<Self::Ok, Unstorable> {
        record.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, Unstorable> {
        Err(Unstorable::new(NO_RECORD))
    }

    refuse! { NO_RECORD;
        serialize_bool(bool) -> Self::Ok;
        serialize_i8(i8) -> Self::Ok;
        serialize_i16(i16) -> Self::Ok;
        serialize_i32(i32) -> Self::Ok;
        serialize_i64(i64) -> Self::Ok;
        serialize_i128(i128) -> Self::Ok;
        serialize_u8(u8) -> Self::Ok;
        serialize_u16(u16) -> Self::Ok;
        serialize_u32(u32) -> Self::Ok;
        serialize_u64(u64) -> Self::Ok;
        serialize_u128(u128) -> Self::Ok;
        serialize_f32(f32) -> Self::Ok;
        serialize_f64(f64) -> Self::Ok;
        serialize_char(char) -> Self::Ok;
        serialize_str(&str) -> Self::Ok;
        serialize_bytes(&[u8]) -> Self::Ok;
        serialize_none() -> Self::Ok;
        serialize_unit() -> Self::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> Self::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

impl ser::SerializeStruct for Flat {
    type Ok = Vec<SerializedField>;
    type Error = Unstorable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unstorable> {
        let value = store(value).map_err(|error| error.at(name.as_bytes()))?;
        self.parts.push(SerializedField {
            name: (ScalarKind::Text, name.into()),
            is_key: false,
            value,
        });
        Ok(())
    }

    fn end(self) -> Result<Vec<SerializedField>, Unstorable> {
        Ok(self.parts)
    }
}

impl ser::SerializeMap for FlatMap {
    type Ok = Vec<SerializedField>;
    type Error = Unstorable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Unstorable> {
        self.name = store(name).map_err(|_| Unstorable::new(NO_NAME))?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unstorable> {
        let name = self.name.take();
        let name = name.ok_or_else(|| Unstorable::new(NO_NAME))?;
        self.parts.push(SerializedField {
            name,
            is_key: true,
            value: store(value)?,
        });
        Ok(())
    }

    fn end(self) -> Result<Vec<SerializedField>, Unstorable> {
        Ok(self.parts)
    }
}
