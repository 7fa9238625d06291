//! A part of an entry: some of its fields, as text.
//!
//! Called for `get_fields`. What the other fields are is not known here, so an entry is judged by
//! the fields that were read.

use std::collections::HashSet;

use super::{
    Fields, NOT_FOUND, Unstorable, check_length, check_name,
    de::deserialize,
    schema::{SCHEMA, Schema, Undecodable},
    tag_fields::{TAG_CLOCK_FIELD, TAG_LIST_FIELD},
};
use crate::record::Record;

/// The names to read for these fields of a record, each once: theirs, and those that tell what the
/// entry is.
pub(crate) fn names_to_read<'a>(
    names: &[&'a str],
    with_tags: bool,
) -> Result<Vec<&'a [u8]>, Unstorable> {
    let mut all = vec![NOT_FOUND, SCHEMA, TAG_CLOCK_FIELD.as_bytes()];
    // An entry that has the list has the clock too.
    all.extend(with_tags.then_some(TAG_LIST_FIELD.as_bytes()));
    for name in names {
        check_name(name.as_bytes())?;
        check_length(name.as_bytes(), &[])?;
        all.push(name.as_bytes());
    }
    let mut distinct = HashSet::new();
    all.retain(|name| distinct.insert(*name));
    Ok(all)
}

/// The fields that were read of an entry. `None`: the entry says that the primary has no such
/// record.
pub(crate) fn from_part(
    mut fields: Fields,
    schema: &Schema,
) -> Result<Option<Record>, Undecodable> {
    let is_under_tags = |(name, _): &(Vec<u8>, Vec<u8>)| is_of_tags(name);
    if fields.iter().any(is_under_tags) {
        // The caller has taken these fields out, if it reads tags.
        return Err(Undecodable::Unreadable);
    }
    let has_not_found = fields.iter().any(|(name, _)| name == NOT_FOUND);
    if has_not_found {
        // Another program has added fields to a cached "no such record".
        return if fields.len() == 1 {
            Ok(None)
        } else {
            Err(Undecodable::Unreadable)
        };
    }
    let stored = fields.iter().position(|(name, _)| name == SCHEMA);
    let stored = stored.map(|at| fields.remove(at).1);
    if !schema.admits(stored.as_deref()) {
        return Err(Undecodable::OtherSchema);
    }
    let record = deserialize(fields, &[]);
    record.map(Some).map_err(|_| Undecodable::Unreadable)
}

fn is_of_tags(name: &[u8]) -> bool {
    [TAG_CLOCK_FIELD, TAG_LIST_FIELD]
        .map(str::as_bytes)
        .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(pairs: &[(&[u8], &str)], schema: &Schema) -> Result<Option<Record>, Undecodable> {
        let fields = pairs.iter();
        let fields = fields.map(|(name, value)| (name.to_vec(), value.as_bytes().to_vec()));
        from_part(fields.collect(), schema)
    }

    #[test]
    fn an_entry_is_judged_by_what_was_read_of_it() {
        let (none, one) = (Schema::default(), Schema::new(1));
        let name = (&b"name"[..], "Rye Loaf");
        let record = || Ok(Some(Record::from([("name", "Rye Loaf")])));
        assert_eq!(part(&[name], &none), record());
        assert_eq!(part(&[(SCHEMA, "1"), name], &one), record());
        assert_eq!(part(&[], &none), Ok(Some(Record::new())));
        assert_eq!(part(&[(SCHEMA, "1")], &one), Ok(Some(Record::new())));
        for schema in [&none, &one] {
            assert_eq!(part(&[(NOT_FOUND, "1")], schema), Ok(None));
            let added = part(&[(NOT_FOUND, "1"), name], schema);
            assert_eq!(added, Err(Undecodable::Unreadable));
            let other = part(&[(SCHEMA, "2"), name], schema);
            assert_eq!(other, Err(Undecodable::OtherSchema));
        }
        assert_eq!(part(&[name], &one), Err(Undecodable::OtherSchema));
        let bytes = vec![(b"name".to_vec(), vec![0xff])];
        assert_eq!(from_part(bytes, &none), Err(Undecodable::Unreadable));
    }

    #[test]
    fn a_name_of_the_cache_is_refused() {
        assert!(names_to_read(&["name", "__cache_aside_schema"], false).is_err());
        let known = [NOT_FOUND, SCHEMA, b"__cache_aside_clock"];
        let plain = [&known[..], &[b"name"]].concat();
        assert_eq!(names_to_read(&["name"], false).unwrap(), plain);
        let tagged = [&known[..], &[b"__cache_aside_tags", b"name"]].concat();
        assert_eq!(names_to_read(&["name"], true).unwrap(), tagged);
    }
}
