//! JSON that is read back as the same value, or an error.
//!
//! A serializer around that of `serde_json`. It forwards every value, except those that JSON would
//! change silently: NaN, infinities and an empty value within a `Some` would become `null`. An
//! error names the place in the value, without the keys of maps, because they are content. The
//! message of a type's own error is content too.

use serde::{Serialize, Serializer, ser};

use super::place::{Place, Trail};

const NOT_FINITE: &str =
    "JSON has no NaN and no infinities, they would become `null`; use an `Option` or an enum";
const NULL_IN_SOME: &str = "a `Some` whose content is `null` in JSON would be read back as \
    `None`; use one `Option`, or an enum";

/// The JSON of a value, or why there is none.
pub(super) fn to_text<T: Serialize>(value: &T) -> Result<String, String> {
    let trail = Trail::default();
    serde_json::to_string(&lossless(Place::root(&trail), value))
        .map_err(|error| trail.reason(&error))
}

/// A value to be written without loss.
struct Lossless<'a, T: ?Sized> {
    value: &'a T,
    place: Place<'a>,
}

fn lossless<'a, T: ?Sized>(place: Place<'a>, value: &'a T) -> Lossless<'a, T> {
    Lossless { value, place }
}

impl<T: Serialize + ?Sized> Serialize for Lossless<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let place = self.place;
        self.value.serialize(Guarded { inner, place })
    }
}

/// A serializer that refuses the values that JSON would change silently.
struct Guarded<'a, S> {
    inner: S,
    place: Place<'a>,
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),+);)+) => {
        $(fn $method(self, $($arg: $type),+) -> Result<S::Ok, S::Error> {
            self.inner.$method($($arg),+)
        })+
    };
}

macro_rules! finite {
    ($($method:ident($type:ty);)+) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            if !value.is_finite() {
                return Err(self.place.refuse(NOT_FINITE));
            }
            self.inner.$method(value)
        })+
    };
}

macro_rules! null {
    ($($method:ident($($arg:ident: $type:ty),*);)+) => {
        $(fn $method(self, $($arg: $type),*) -> Result<S::Ok, S::Error> {
            if self.place.is_in_some() {
                return Err(self.place.refuse(NULL_IN_SOME));
            }
            self.inner.$method($($arg),*)
        })+
    };
}

/// Begins each listed shape. The number is how many levels of nesting it adds.
macro_rules! open {
    ($($levels:literal $method:ident($($arg:ident: $type:ty),*) -> $parts:ident;)+) => {
        $(fn $method(self, $($arg: $type),*) -> Result<Self::$parts, S::Error> {
            Ok(Parts {
                place: self.place.below($levels)?,
                inner: self.inner.$method($($arg),*)?,
                count: 0,
            })
        })+
    };
}

impl<'a, S: Serializer> Serializer for Guarded<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    forward! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    finite! {
        serialize_f32(f32);
        serialize_f64(f64);
    }

    null! {
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner
            .serialize_some(&lossless(self.place.in_some(), value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = lossless(self.place, value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let place = self.place.below(1)?;
        let value = lossless(place, value);
        let done = self
            .inner
            .serialize_newtype_variant(name, index, variant, &value);
        place.step(done, || format!(".{variant}"))
    }

    open! {
        1 serialize_seq(len: Option<usize>) -> SerializeSeq;
        1 serialize_tuple(len: usize) -> SerializeTuple;
        1 serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        2 serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        1 serialize_map(len: Option<usize>) -> SerializeMap;
        1 serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        2 serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }
}

/// A list, a map or a struct that is being written.
struct Parts<'a, C> {
    inner: C,
    place: Place<'a>,
    count: usize,
}

macro_rules! list {
    ($($trait:ident $method:ident;)+) => {
        $(impl<C: ser::$trait> ser::$trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let done = self.inner.$method(&lossless(self.place, value));
                self.place.step(done, || format!("[{}]", self.count))?;
                self.count += 1;
                Ok(())
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })+
    };
}

list! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! structure {
    ($($trait:ident)+) => {
        $(impl<C: ser::$trait> ser::$trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                let done = self.inner.serialize_field(name, &lossless(self.place, value));
                self.place.step(done, || format!(".{name}"))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })+
    };
}

structure! { SerializeStruct SerializeStructVariant }

impl<C: ser::SerializeMap> ser::SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    /// Forwarded as it is: `serde_json` writes keys as strings, and refuses all others itself.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let done = self.inner.serialize_value(&lossless(self.place, value));
        self.place.step(done, || "[…]".to_owned())
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
