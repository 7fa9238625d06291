//! Values of every kind that a field can hold, and how to draw them.
//!
//! Strategies are boxed. Their nested types would take the compiler most of a minute.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU32};

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Equal to the last bit. A NaN comes back as some NaN: its sign and payload are not part of a
/// number.
macro_rules! float {
    ($name:ident $float:ident $bits:ident) => {
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        pub(crate) struct $name(pub(crate) $float);

        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                self.0.to_bits() == other.0.to_bits() || self.0.is_nan() && other.0.is_nan()
            }
        }

        impl $name {
            pub(crate) fn any() -> BoxedStrategy<$name> {
                let subnormal = $float::from_bits(1);
                let special = [
                    0.0,
                    -0.0,
                    subnormal,
                    -subnormal,
                    $float::MIN_POSITIVE,
                    $float::MIN,
                    $float::MAX,
                    $float::EPSILON,
                    $float::NAN,
                    -$float::NAN,
                    $float::INFINITY,
                    $float::NEG_INFINITY,
                ];
                prop_oneof![
                    2 => any::<$bits>().prop_map($float::from_bits),
                    1 => any::<$float>(),
                    1 => select(special.to_vec()),
                ]
                .prop_map($name)
                .boxed()
            }

            #[cfg(feature = "json")]
            pub(crate) fn finite() -> BoxedStrategy<$name> {
                $name::any().prop_map(|float| $name(if float.0.is_finite() { float.0 } else { -0.0 })).boxed()
            }
        }
    };
}

float!(F32 f32 u32);
float!(F64 f64 u64);

/// Any integer of a type, its extremes more often than at random.
macro_rules! int {
    ($int:ident) => {
        prop_oneof![3 => any::<$int>(), 1 => proptest::sample::select(vec![$int::MIN, 0, $int::MAX])].boxed()
    };
}
pub(crate) use int;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Integers {
    pub(crate) i8: i8,
    pub(crate) i16: i16,
    pub(crate) i32: i32,
    pub(crate) i64: i64,
    pub(crate) i128: i128,
    pub(crate) u8: u8,
    pub(crate) u16: u16,
    pub(crate) u32: u32,
    pub(crate) u64: u64,
    pub(crate) u128: u128,
    pub(crate) usize: usize,
}

pub(crate) fn integers() -> BoxedStrategy<Integers> {
    let signed = (int!(i8), int!(i16), int!(i32), int!(i64), int!(i128));
    let unsigned = (
        int!(u8),
        int!(u16),
        int!(u32),
        int!(u64),
        int!(u128),
        int!(usize),
    );
    (signed, unsigned)
        .prop_map(|(signed, unsigned)| {
            let (i8, i16, i32, i64, i128) = signed;
            let (u8, u16, u32, u64, u128, usize) = unsigned;
            Integers {
                i8,
                i16,
                i32,
                i64,
                i128,
                u8,
                u16,
                u32,
                u64,
                u128,
                usize,
            }
        })
        .boxed()
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shelf {
    Front,
    #[serde(rename = "in the back")]
    Back,
    #[serde(rename = "")]
    Nameless,
}

pub(crate) fn shelf() -> BoxedStrategy<Shelf> {
    select(vec![Shelf::Front, Shelf::Back, Shelf::Nameless]).boxed()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cents(pub(crate) NonZeroU32);

pub(crate) fn cents() -> BoxedStrategy<Cents> {
    (1..=u32::MAX)
        .prop_map(|cents| Cents(NonZeroU32::new(cents).unwrap()))
        .boxed()
}

/// Any characters, including control characters.
pub(crate) fn text() -> BoxedStrategy<String> {
    vec(any::<char>(), 0..16)
        .prop_map(String::from_iter)
        .boxed()
}

pub(crate) fn bytes() -> BoxedStrategy<ByteBuf> {
    vec(any::<u8>(), 0..80).prop_map(ByteBuf::from).boxed()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Others {
    pub(crate) f32: F32,
    pub(crate) f64: F64,
    pub(crate) flag: bool,
    pub(crate) char: char,
    #[serde(rename = "a name with a space")]
    pub(crate) text: String,
    pub(crate) boxed: Box<str>,
    pub(crate) cow: Cow<'static, str>,
    pub(crate) bytes: ByteBuf,
    pub(crate) shelf: Shelf,
    pub(crate) cents: Cents,
}

pub(crate) fn others() -> BoxedStrategy<Others> {
    let texts = (text(), text(), text(), bytes(), any::<char>());
    let rest = (F32::any(), F64::any(), any::<bool>(), shelf(), cents());
    (texts, rest)
        .prop_map(|(texts, (f32, f64, flag, shelf, cents))| {
            let (text, boxed, cow, bytes, char) = texts;
            Others {
                f32,
                f64,
                flag,
                char,
                text,
                boxed: boxed.into(),
                cow: cow.into(),
                bytes,
                shelf,
                cents,
            }
        })
        .boxed()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) id: u8,
    pub(crate) i128: Option<i128>,
    pub(crate) u64: Option<u64>,
    pub(crate) f32: Option<F32>,
    pub(crate) f64: Option<F64>,
    pub(crate) flag: Option<bool>,
    pub(crate) char: Option<char>,
    pub(crate) text: Option<String>,
    pub(crate) bytes: Option<ByteBuf>,
    pub(crate) shelf: Option<Shelf>,
    pub(crate) cents: Option<Cents>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<Box<str>>,
}

pub(crate) fn options() -> BoxedStrategy<Options> {
    let numbers = (
        any::<u8>(),
        option::of(int!(i128)),
        option::of(int!(u64)),
        option::of(F32::any()),
        option::of(F64::any()),
        option::of(cents()),
    );
    let rest = (
        option::of(any::<bool>()),
        option::of(any::<char>()),
        option::of(text()),
        option::of(bytes()),
        option::of(shelf()),
        option::of(text()),
    );
    (numbers, rest)
        .prop_map(|(numbers, (flag, char, text, bytes, shelf, skipped))| {
            let (id, i128, u64, f32, f64, cents) = numbers;
            Options {
                id,
                i128,
                u64,
                f32,
                f64,
                flag,
                char,
                text,
                bytes,
                shelf,
                cents,
                skipped: skipped.map(Into::into),
            }
        })
        .boxed()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) id: u32,
    pub(crate) note: Option<String>,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, String>,
}

/// What a field may be called.
pub(crate) fn name() -> BoxedStrategy<String> {
    text()
        .prop_filter("the cache's own", |name| !name.starts_with("__cache_aside"))
        .boxed()
}

pub(crate) fn rest() -> BoxedStrategy<Open> {
    // The names of the map differ from the struct's own.
    let rest = btree_map("[a-h]{1,3}", text(), 0..8);
    (any::<u32>(), option::of(text()), rest)
        .prop_map(|(id, note, rest)| Open { id, note, rest })
        .boxed()
}
