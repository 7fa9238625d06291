//! Versions and floors as the scripts have them.
//!
//! A version is a text of 20 decimal digits. So the scripts compare versions as texts: a number of
//! Lua is exact to 2⁵³ only. Hexadecimal digits would not do. Redis compares texts by the rules
//! of its locale, and some of these put letters in another order.
//!
//! Called for the arguments and the replies of scripts.

use redis::Value;

use crate::store::Floor;

/// A version or a floor that is not known.
pub(crate) const UNKNOWN: &str = "?";

const DIGITS: usize = 20;

/// A version as the scripts have it.
pub(super) fn text(version: Option<u64>) -> String {
    match version {
        Some(version) => format!("{version:0DIGITS$}"),
        None => UNKNOWN.to_owned(),
    }
}

/// The floor at the end of a reply. A reply has one if, and only if, the record has a floor key.
pub(super) fn floor_in(parts: &[Value], has_floor: bool) -> Option<Floor> {
    match (parts, has_floor) {
        ([], false) => Some(Floor::None),
        ([Value::BulkString(floor)], true) => parse(floor),
        _ => None,
    }
}

fn parse(floor: &[u8]) -> Option<Floor> {
    if floor.is_empty() {
        return Some(Floor::None);
    }
    if floor == UNKNOWN.as_bytes() {
        return Some(Floor::Unknown);
    }
    let digits = std::str::from_utf8(floor).ok()?;
    let is_version = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    let version = is_version.then(|| digits.parse().ok())??;
    Some(Floor::At(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn the_texts_of_versions_have_the_order_of_the_versions() {
        let versions = [0, 1, 9, 10, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX];
        let texts = versions.map(|version| text(Some(version)));
        assert!(texts.is_sorted());
        for (version, text) in versions.iter().zip(&texts) {
            let floor = floor_in(&[bulk(text)], true);
            assert_eq!(floor, Some(Floor::At(*version)));
        }
    }

    #[test]
    fn a_reply_has_a_floor_if_and_only_if_the_record_has_a_floor_key() {
        assert_eq!(floor_in(&[], false), Some(Floor::None));
        assert_eq!(floor_in(&[bulk("")], true), Some(Floor::None));
        assert_eq!(floor_in(&[bulk("?")], true), Some(Floor::Unknown));
        assert_eq!(floor_in(&[], true), None);
        assert_eq!(floor_in(&[bulk("")], false), None);
        assert_eq!(floor_in(&[bulk(""), bulk("")], true), None);
    }

    #[test]
    fn a_text_that_is_no_version_is_no_floor() {
        for wrong in [
            "7",
            "18446744073709551616",
            "0000000000000000000a",
            "+0000000000000000007",
            "000000000000000000007",
            "?0",
        ] {
            assert_eq!(floor_in(&[bulk(wrong)], true), None, "{wrong}");
        }
        assert_eq!(floor_in(&[Value::Int(7)], true), None);
    }
}
