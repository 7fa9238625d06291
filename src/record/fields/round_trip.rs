//! Checks that a record would be read back as it is, before it is stored.
//!
//! Guarantees that no value changes silently between Rust and Redis. Two kinds of types are at
//! risk. A hash holds only text, so a type that asks for a value of any kind (`untagged`,
//! `flatten`, `serde_json::Value`) may get another kind than it wrote. A hash has no `None`, so a
//! type with a `default` for a missing field may get that.
//!
//! Serde does not show such types in advance. So the record is deserialized and serialized again,
//! and the two are compared: each field must be present or missing as before, and of the same kind
//! (text, bytes or number). The texts themselves are stored exactly, so they are not compared. A
//! type may write a text in another order each time, and may interpret it freely. The text of
//! `Json` is compared, because it holds the whole value.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    de::{Stop, deserialize},
    json_eq::same,
    scalar::{ScalarKind, Unstorable},
    ser::{SerializedField, serialize},
};

const TWICE: &str = "the record has two fields with this name, and a hash can hold only one";
const MISSING: &str = "it is left out, and the type cannot be deserialized without it; give it \
    `#[serde(default)]`";
const UNREADABLE: &str = "the type cannot deserialize what it serialized";
const NONE: &str = "it is `None` and would be read back as something else (a map loses a \
    `None`, a `default` replaces it); `Json` keeps it (feature `json`)";
const SKIPPED: &str = "it is left out and would be read back as its `default`; skip it only \
    where it equals that";
const CHANGED: &str = "it would be read back as something else: a hash does not distinguish \
    numbers from text, and the type must know which it is (`untagged`, `flatten`, `tag`); \
    `Json` distinguishes them (feature `json`)";
const READ_AS_ANOTHER: &str = "it would be read back as something else: the type reads other \
    values from its fields than it wrote (`untagged` takes the first variant that fits)";
const EMPTY: &str = "its parent is `None` and would be read back as an empty `Some`; flatten \
    the parent without the `Option`";
const OTHER_JSON: &str = "it would be read back as something else: the type reads other values \
    from its JSON than it wrote (a `default` replaces a skipped value, `untagged` takes the \
    first variant that fits, a map keeps one of two values with the same key)";

/// Refuses a record that would be read back as something else.
pub(super) fn check<R: Serialize + DeserializeOwned>(
    parts: &[SerializedField],
) -> Result<(), Unstorable> {
    let before = shape(parts);
    if let Some(twice) = before.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return refuse(Some(twice[0].0), TWICE);
    }
    let back: R = match deserialize(fields(parts), &[]) {
        Ok(back) => back,
        Err(stop) => return unreadable::<R>(parts, &stop),
    };
    let back = serialize(&back)?;
    if let Some(name) = other_json(parts, &back) {
        return refuse(Some(name), OTHER_JSON);
    }
    let after = shape(&back);
    if before == after {
        return Ok(());
    }
    // The hash holds the exact text, so a type may read that text as `None`.
    let is_own_none = |&(name, kind, _): &Field<'_>| {
        let was = |value| has(&before, &(name, kind, Some(value)));
        (was(ScalarKind::Text) || was(ScalarKind::Bytes)) && has(&after, &(name, kind, None))
    };
    let lost = |field: &&Field<'_>| !has(&after, field) && !is_own_none(field);
    let new = |field: &&Field<'_>| !has(&before, field) && !is_own_none(field);
    match (before.iter().find(lost), after.iter().find(new)) {
        (Some((name, ScalarKind::Number, Some(_)) | (name, _, Some(ScalarKind::Number))), _) => {
            refuse(Some(name), CHANGED)
        }
        (Some((name, _, Some(_))), _) => refuse(Some(name), READ_AS_ANOTHER),
        (Some((name, ..)), _) => refuse(Some(name), NONE),
        (None, Some((name, _, Some(_)))) => refuse(Some(name), SKIPPED),
        (None, Some((name, ..))) => refuse(Some(name), EMPTY),
        (None, None) => Ok(()),
    }
}

/// The first field whose JSON is not equal to the JSON before.
fn other_json<'a>(before: &'a [SerializedField], after: &[SerializedField]) -> Option<&'a [u8]> {
    let differs = |part: &&SerializedField| {
        let Some((ScalarKind::Json, text)) = &part.value else {
            return false;
        };
        let mut after = after.iter().filter(|after| after.name == part.name);
        after.any(|after| {
            let now = after.value.as_ref();
            now.is_some_and(|(_, now)| !same(text, now))
        })
    };
    let part = before.iter().find(differs)?;
    Some(&part.name.1)
}

/// The properties that must be the same afterwards: the name, its kind, and the kind of the value,
/// if there is one.
type Field<'a> = (&'a [u8], ScalarKind, Option<ScalarKind>);

/// Sorted by name, because a deserialized map may have another order.
fn shape(parts: &[SerializedField]) -> Vec<Field<'_>> {
    let kind = |part: &SerializedField| part.value.as_ref().map(|(kind, _)| *kind);
    let mut shape: Vec<Field<'_>> = parts
        .iter()
        .map(|part| (&*part.name.1, part.name.0, kind(part)))
        .collect();
    shape.sort_unstable();
    shape
}

fn has(shape: &[Field<'_>], field: &Field<'_>) -> bool {
    shape.binary_search(field).is_ok()
}

fn fields(parts: &[SerializedField]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let stored = parts.iter().filter_map(|part| {
        let (_, value) = part.value.as_ref()?;
        Some((part.name.1.clone(), value.clone()))
    });
    stored.collect()
}

/// Names the field that could not be read.
fn unreadable<R: DeserializeOwned>(
    parts: &[SerializedField],
    stop: &Stop,
) -> Result<(), Unstorable> {
    let stored: Vec<_> = parts.iter().filter(|part| part.value.is_some()).collect();
    let kinds: Vec<_> = stored
        .iter()
        .filter_map(|part| part.value.as_ref().map(|(kind, _)| *kind))
        .collect();
    let name = |nth: usize| stored.get(nth).map(|part| &*part.name.1);
    // Deserialize again, up to the first number that the type reads as a value of any kind. Such a
    // type may read all its fields before it finds one that it cannot use.
    let asked = match deserialize::<R>(fields(parts), &kinds) {
        Err(Stop::Asked(nth)) => Some(nth),
        _ => None,
    };
    match (stop, asked) {
        (Stop::Missing(name), _) => refuse(Some(name.as_bytes()), MISSING),
        (Stop::At(nth), asked) if asked != Some(*nth) => refuse(name(*nth), UNREADABLE),
        (_, Some(nth)) => refuse(name(nth), CHANGED),
        (_, None) => refuse(None, UNREADABLE),
    }
}

fn refuse(name: Option<&[u8]>, reason: &str) -> Result<(), Unstorable> {
    let why = Unstorable::new(reason);
    Err(match name {
        Some(name) => why.at(name),
        None => why,
    })
}
