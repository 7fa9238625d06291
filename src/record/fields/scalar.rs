//! One Rust value → one text or byte string, and the kind of the value.
//!
//! Does not know records. Refuses everything that is not a single value.

use std::fmt::Display;

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};

use crate::error::Error;

/// The kind of a value in Rust. A hash does not store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ScalarKind {
    Text,
    Bytes,
    /// A number or a `bool`. It is stored as text. Only a type that asks for a number can read it
    /// back.
    Number,
    /// The JSON text of a whole value. It is compared after the round trip, because nothing else
    /// would show a change in it.
    Json,
}

/// The name of the newtype that marks a text as the JSON of a whole value.
pub(crate) const JSON: &str = "$cache_aside::Json";

/// The name of the newtype around the reason why a whole value is not stored. A reason of this
/// crate can pass through serde's types only in this way: see [`OWN_ERROR`].
pub(crate) const JSON_REFUSED: &str = "$cache_aside::JsonRefused";

/// A value as it is stored.
pub(super) type Stored = (ScalarKind, Vec<u8>);

/// Serializes one value. `None`: its field is left out.
pub(super) fn store<T: Serialize + ?Sized>(value: &T) -> Result<Option<Stored>, Unstorable> {
    value.serialize(Scalar)
}

/// Why a record cannot be stored. Holds no value of a field and no key of a map, so it may be
/// logged.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Unstorable {
    /// The field at fault. `None` for a map, and if no single field is at fault.
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
}

/// A field's name is cut to this length, because it is logged and remembered, and `update_field`
/// accepts any name.
const LONGEST_NAME: usize = 64;

impl Unstorable {
    pub(super) fn new(reason: impl Into<String>) -> Unstorable {
        Unstorable {
            field: None,
            reason: reason.into(),
        }
    }

    /// A loader named tags, on a cache that would not read them.
    pub(crate) fn without_loader_tags() -> Unstorable {
        Unstorable::new("its loader named tags, and the cache was built without `loader_tags`")
    }

    /// Names the field at fault. Do not use it for a map, because the keys of a map are content.
    pub(super) fn at(self, name: &[u8]) -> Unstorable {
        Unstorable {
            field: Some(shown(name)),
            ..self
        }
    }
}

/// A field's name as it is shown.
pub(super) fn shown(name: &[u8]) -> String {
    let shown = &name[..name.len().min(LONGEST_NAME)];
    String::from_utf8_lossy(shown).into_owned()
}

impl From<Unstorable> for Error {
    fn from(Unstorable { field, reason }: Unstorable) -> Error {
        Error::InvalidRecord { field, reason }
    }
}

/// The reason if a type's own `Serialize` fails. Its message may quote the value, so it is not
/// used.
pub(crate) const OWN_ERROR: &str = "its `Serialize` fails";

/// Called by the `Serialize` of a user's type. The message is not used, because it may quote the
/// value. This crate gives its own reasons through [`new`](Unstorable::new).
impl ser::Error for Unstorable {
    fn custom<T: Display>(_: T) -> Unstorable {
        Unstorable::new(OWN_ERROR)
    }
}

/// Refuses each listed shape with one reason.
macro_rules! refuse {
    ($reason:expr; $($method:ident($($arg:ty),*) -> $ok:ty;)+) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok, Unstorable> {
            Err(Unstorable::new($reason))
        })+
    };
}
pub(super) use refuse;

/// Writes each listed scalar as Rust prints it.
macro_rules! as_text {
    ($($method:ident($scalar:ty) $kind:ident;)+) => {
        $(fn $method(self, value: $scalar) -> Result<Option<Stored>, Unstorable> {
            Ok(Some((ScalarKind::$kind, value.to_string().into_bytes())))
        })+
    };
}

const NESTED: &str = "a hash field holds one flat value, not a list, map or struct; \
    `serde_bytes` stores bytes, `as_json` stores such a field, and `Json` a whole record (feature \
    `json`)";
const CONTENTS: &str = "a hash field holds the name of an enum's variant, not its contents; \
    `as_json` and `Json` store both (feature `json`)";
const NOTHING: &str = "it has no value; leave it out with `#[serde(skip)]`";
const NONE_IN_SOME: &str = "`Some(None)` would be read back as `None`; use one `Option`, or an \
    enum";

struct Scalar;

impl Serializer for Scalar {
    type Ok = Option<Stored>;
    type Error = Unstorable;
    type SerializeSeq = Impossible<Self::Ok, Unstorable>;
    type SerializeTuple = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleStruct = Impossible<Self::Ok, Unstorable>;
    type SerializeTupleVariant = Impossible<Self::Ok, Unstorable>;
    type SerializeMap = Impossible<Self::Ok, Unstorable>;
    type SerializeStruct = Impossible<Self::Ok, Unstorable>;
    type SerializeStructVariant = Impossible<Self::Ok, Unstorable>;

    as_text! {
        serialize_bool(bool) Number;
        serialize_i8(i8) Number;
        serialize_i16(i16) Number;
        serialize_i32(i32) Number;
        serialize_i64(i64) Number;
        serialize_i128(i128) Number;
        serialize_u8(u8) Number;
        serialize_u16(u16) Number;
        serialize_u32(u32) Number;
        serialize_u64(u64) Number;
        serialize_u128(u128) Number;
        serialize_f32(f32) Number;
        serialize_f64(f64) Number;
        serialize_char(char) Text;
        serialize_str(&str) Text;
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Self::Ok, Unstorable> {
        Ok(Some((ScalarKind::Bytes, value.to_vec())))
    }

    fn serialize_none(self) -> Result<Self::Ok, Unstorable> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Unstorable> {
        match value.serialize(self)? {
            None => Err(Unstorable::new(NONE_IN_SOME)),
            some => Ok(some),
        }
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
        name: &'static str,
        value: &T,
    ) -> Result<Self::Ok, Unstorable> {
        let stored = value.serialize(self)?;
        if name == JSON_REFUSED {
            let (_, reason) = stored.unwrap_or((ScalarKind::Text, Vec::new()));
            return Err(Unstorable::new(String::from_utf8_lossy(&reason)));
        }
        let kind = |(kind, text)| (if name == JSON { ScalarKind::Json } else { kind }, text);
        Ok(stored.map(kind))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, Unstorable> {
        Err(Unstorable::new(CONTENTS))
    }

    refuse! { NOTHING;
        serialize_unit() -> Self::Ok;
        serialize_unit_struct(&'static str) -> Self::Ok;
    }

    refuse! { CONTENTS;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    refuse! { NESTED;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}
