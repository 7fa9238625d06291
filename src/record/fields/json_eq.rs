//! Whether two JSON texts are equal, whatever their order.
//!
//! For texts that `serde_json` has written. A set or a map may be written in a different order each
//! time. So may a string into which a type joins a set. The order is therefore ignored in lists,
//! objects and strings.
//!
//! Compares bytes, because a `serde_json::Value` loses information. It keeps one of two values with
//! the same key, and stores numbers beyond 64 bits as floats, without their last digits. This file
//! is also needed without the feature `json`.

use std::slice::Iter;

/// A key that occurs twice counts as two parts.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || ordered(one) == ordered(other)
}

fn ordered(text: &[u8]) -> Vec<u8> {
    part(&mut text.iter()).0
}

/// The next part of a list or an object, with its contents sorted, and the byte after it. The
/// recursion is as deep as the text, which `Json` bounds.
fn part(text: &mut Iter<'_, u8>) -> (Vec<u8>, Option<u8>) {
    let mut done = Vec::new();
    while let Some(&byte) = text.next() {
        match byte {
            b',' | b']' | b'}' => return (done, Some(byte)),
            b'[' | b'{' => {
                done.push(byte);
                done.extend(parts(text));
            }
            b'"' => done.extend(string(text)),
            _ => done.push(byte),
        }
    }
    (done, None)
}

/// The sorted parts of a list or an object, and its closing byte.
fn parts(text: &mut Iter<'_, u8>) -> Vec<u8> {
    let mut parts = Vec::new();
    let end = loop {
        let (next, behind) = part(text);
        parts.push(next);
        if behind != Some(b',') {
            break behind;
        }
    };
    parts.sort_unstable();
    let mut done = parts.join(&b',');
    done.extend(end);
    done
}

/// The sorted bytes of a string, between its quotes.
fn string(text: &mut Iter<'_, u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(&byte) = text.next() {
        match byte {
            b'"' => break,
            b'\\' => bytes.extend([byte].into_iter().chain(text.next().copied())),
            _ => bytes.push(byte),
        }
    }
    bytes.sort_unstable();
    [b"\"", &*bytes, b"\""].concat()
}
