//! The proof that a record comes back as it went in, before it is stored.
//!
//! Guarantees that no value changes silently between Rust and Redis. A hash holds texts, and has no
//! `None`; a type that asks its fields what they are (`untagged`, `flatten`, `serde_json::Value`),
//! or that puts something else where a field is missing (`default`), would get another answer than
//! it gave. Serde doesn't show such types in advance. So the record is put together again, taken
//! apart again, and compared: each field there or not, and a text, bytes or a number as before. The
//! texts themselves are exact and are not compared: a type may write one in another order each
//! time, and what it reads from one is its own affair. Only the text of `Json` is, since the whole
//! value is in it.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    de::{Stop, deserialize},
    json_eq::same,
    scalar::{ScalarKind, Unstorable},
    ser::{Part, serialize},
};

const TWICE: &str = "the record has two fields of this name, and a hash holds one";
const MISSING: &str = "it is left out, and the type cannot be read back without it; \
    give it `#[serde(default)]`";
const UNREADABLE: &str = "the type does not read back what it has written";
const NONE: &str = "it is `None`, and would come back as something else \
    (a map loses a `None`, a `default` replaces it); `Json` keeps it (feature `json`)";
const SKIPPED: &str = "it is left out, and would come back as its `default`; \
    skip it only where it is that";
const CHANGED: &str = "it would not come back as it is, because a hash doesn't tell numbers from texts \
    and the type has to ask (`untagged`, `flatten`, `tag`); `Json` tells them (feature `json`)";
const READ_AS_ANOTHER: &str = "it would not come back as it is: the type reads something else from its fields than it \
    wrote (`untagged` takes the first variant that fits)";
const EMPTY: &str = "what it is in is `None`, and would come back as a `Some` with nothing in it; \
    flatten it without the `Option`";
const OTHER_JSON: &str = "it would not come back as it is: the type reads something else from its JSON than it wrote \
    (a `default` replaces what is skipped, `untagged` takes the first variant that fits, a map keeps one of two \
    values with the same key)";

/// Refuses a record that would not come back as it is.
pub(super) fn check<R: Serialize + DeserializeOwned>(parts: &[Part]) -> Result<(), Unstorable> {
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
    // A text that the type itself reads as `None` is exact in the hash, and the type's own affair.
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

/// The field whose JSON says something else than before.
fn other_json<'a>(before: &'a [Part], after: &[Part]) -> Option<&'a [u8]> {
    let differs = |part: &&Part| {
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

/// What must be the same afterwards: a name, its kind, and the kind of the value, where there is
/// one.
type Field<'a> = (&'a [u8], ScalarKind, Option<ScalarKind>);

/// In order of the names: a map that was put together again may have another.
fn shape(parts: &[Part]) -> Vec<Field<'_>> {
    let kind = |part: &Part| part.value.as_ref().map(|(kind, _)| *kind);
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

fn fields(parts: &[Part]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let stored = parts.iter().filter_map(|part| {
        let (_, value) = part.value.as_ref()?;
        Some((part.name.1.clone(), value.clone()))
    });
    stored.collect()
}

/// Says which field it was that couldn't be read.
fn unreadable<R: DeserializeOwned>(parts: &[Part], stop: &Stop) -> Result<(), Unstorable> {
    let stored: Vec<_> = parts.iter().filter(|part| part.value.is_some()).collect();
    let kinds: Vec<_> = stored
        .iter()
        .filter_map(|part| part.value.as_ref().map(|(kind, _)| *kind))
        .collect();
    let name = |nth: usize| stored.get(nth).map(|part| &*part.name.1);
    // Once more, up to the first number that is asked what it is. A type that asks may have read
    // all its fields before it found that it can't use one.
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
