//! The fields of an entry that is under tags: the clock from before its load, and the tags that
//! another lookup may not know.
//!
//! Called by the engine, which compares the clock, and by updates, which leave both as they are.
//! Knows no clocks: here they are texts.

use std::fmt::Display;

use super::{Fields, scalar::Unstorable};

/// The field of an entry with the clock from before its load.
pub const TAG_CLOCK_FIELD: &str = "__cache_aside_clock";

/// The field of an entry with the tags that its loader named, each as `length:name`. On a cache
/// whose lookups are all under tags, also with those of its caller.
pub const TAG_LIST_FIELD: &str = "__cache_aside_tags";

/// A tag is part of a key, like an id.
pub(crate) const LONGEST_TAG: usize = 64 << 10;

/// More tags than this are a mistake: each is read with a hit.
pub(crate) const MOST_TAGS: usize = 1_000;

/// The values of these fields.
#[derive(Debug, Default)]
pub(crate) struct TagFields {
    pub(crate) clock: Option<Vec<u8>>,
    pub(crate) list: Option<Vec<u8>>,
}

impl TagFields {
    /// Takes the fields out of an entry.
    pub(crate) fn take(entry: &mut Fields) -> TagFields {
        let mut taken = TagFields::default();
        entry.retain_mut(|(name, value)| {
            let place = match name.as_slice() {
                name if name == TAG_CLOCK_FIELD.as_bytes() => &mut taken.clock,
                name if name == TAG_LIST_FIELD.as_bytes() => &mut taken.list,
                _ => return true,
            };
            *place = Some(std::mem::take(value));
            false
        });
        taken
    }
}

/// The value of a field of this name.
pub(crate) fn value_of<'a>(entry: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut fields = entry.iter();
    let found = fields.find(|(other, _)| other == name.as_bytes());
    found.map(|(_, value)| value.as_slice())
}

/// Why these tags cannot be used; `None` if they can.
pub(crate) fn invalid_tags<T: AsRef<str>>(tags: &[T]) -> Option<&'static str> {
    if tags.len() > MOST_TAGS {
        return Some("there are more than 1,000 tags");
    }
    let mut tags = tags.iter().map(AsRef::as_ref);
    tags.find_map(|tag: &str| match tag.len() {
        0 => Some("a tag is empty"),
        length if length > LONGEST_TAG => Some("a tag is longer than 64 KiB"),
        _ => None,
    })
}

/// The field that lists the tags of a record.
pub(crate) fn list_field<T: AsRef<str> + Display>(
    tags: &[T],
) -> Result<(Vec<u8>, Vec<u8>), Unstorable> {
    if let Some(reason) = invalid_tags(tags) {
        return Err(Unstorable::new(format!("its tags: {reason}")));
    }
    let mut list = Vec::new();
    for tag in tags {
        list.extend_from_slice(format!("{}:{tag}", tag.as_ref().len()).as_bytes());
    }
    Ok((TAG_LIST_FIELD.into(), list))
}

/// The tags in such a list. `None`: it is not one.
pub(crate) fn tags_in(list: &[u8]) -> Option<Vec<&str>> {
    let mut rest = std::str::from_utf8(list).ok()?;
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':')?;
        let length: usize = length.parse().ok()?;
        let tag = after.get(..length)?;
        tags.push(tag);
        rest = &after[length..];
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_tags_is_read_back() {
        let all: [&[&str]; 4] = [&["a"], &["a", "b:c", "1:"], &["ü", "3:a"], &["a:b", "a"]];
        for tags in all {
            let owned: Vec<_> = tags.iter().map(|&tag| tag.to_owned()).collect();
            let (_, list) = list_field(&owned).unwrap();
            assert_eq!(tags_in(&list).as_deref(), Some(tags));
        }
    }

    #[test]
    fn another_text_is_no_list() {
        for wrong in ["a", ":a", "2:a", "1:ab", "-1:a", "1:a2", "1:ü"] {
            assert_eq!(tags_in(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(tags_in(b"1:\xff"), None);
    }

    #[test]
    fn a_tag_that_no_key_can_have_is_refused() {
        let long = "x".repeat(LONGEST_TAG + 1);
        for wrong in [vec![String::new()], vec![long], vec!["x".to_owned(); 1_001]] {
            assert!(list_field(&wrong).is_err());
        }
    }

    #[test]
    fn only_the_fields_of_tags_are_taken() {
        let field = |name: &str| (name.as_bytes().to_vec(), b"1".to_vec());
        let mut entry = vec![field("a"), field(TAG_CLOCK_FIELD), field("b")];
        let taken = TagFields::take(&mut entry);
        assert_eq!(taken.clock.as_deref(), Some(&b"1"[..]));
        assert!(taken.list.is_none());
        assert_eq!(entry, [field("a"), field("b")]);
    }
}
