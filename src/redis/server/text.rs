//! Text that comes from a server, made fit for errors and for lines of a log.
//!
//! A server may be hostile, or no Redis at all. So no text of a server is printed unless it passed
//! here: control characters are escaped, and long text is cut. Used where such a text enters.

use std::borrow::Cow;

/// The longest text of a server that is printed, in bytes. A longer one ends with `…`.
pub(crate) const LONGEST: usize = 500;

/// The same text, on one line and no longer than [`LONGEST`]. It is borrowed if nothing changes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_plain = |character: char| !character.is_control() && !is_line_end(character);
    if text.len() <= LONGEST && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut printed = String::new();
    for character in text.chars() {
        let before = printed.len();
        if is_plain(character) {
            printed.push(character);
        } else {
            printed.extend(character.escape_default());
        }
        if printed.len() > LONGEST {
            printed.truncate(before);
            printed.push('…');
            break;
        }
    }
    Cow::Owned(printed)
}

/// The longest host, in bytes. No name of the DNS is longer.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
const LONGEST_HOST: usize = 255;

/// Whether a server can have this host: a name, or an address that is a number. Empty or `?`: the
/// server does not know it. It is looked up, and printed in logs and errors.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
pub(crate) fn is_host(text: &str) -> bool {
    let is_part = |at: char| at.is_alphanumeric() || ".-_:%?".contains(at);
    text.len() <= LONGEST_HOST && text.chars().all(is_part)
}

/// A line or paragraph separator, at which some viewers of a log break the line.
fn is_line_end(character: char) -> bool {
    ['\u{2028}', '\u{2029}'].contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_on_a_line_stays_as_it_is() {
        for text in ["", "ERR unknown command", "Käse €", &"x".repeat(LONGEST)] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(printable("\u{1b}[31mred\0"), "\\u{1b}[31mred\\u{0}");
        assert_eq!(printable("a\u{2028}b\u{9b}"), "a\\u{2028}b\\u{9b}");
    }

    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    #[test]
    fn a_host_is_short_and_on_one_line() {
        for host in [
            "",
            "?",
            "fe80::1%eth_0",
            "10.0.0.1",
            "redis-1.test",
            "käse",
            &"x".repeat(255),
        ] {
            assert!(is_host(host), "{host:?}");
        }
        for other in [
            "a b",
            "a\\u{1b}",
            "a\r\nb",
            "a\u{1b}[2J",
            "a\u{2028}",
            &"x".repeat(256),
        ] {
            assert!(!is_host(other), "{other:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_two_characters() {
        for long in [
            "x".repeat(LONGEST + 1),
            "€".repeat(1 << 20),
            "\n".repeat(1 << 20),
        ] {
            let printed = printable(&long);
            assert!(
                printed.len() <= LONGEST + '…'.len_utf8(),
                "{}",
                printed.len()
            );
            assert!(printed.len() > LONGEST - 10 && printed.ends_with('…'));
        }
    }
}
