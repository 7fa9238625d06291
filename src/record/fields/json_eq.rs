//! Whether two JSON texts say the same, in whatever order.
//!
//! For texts that `serde_json` has written. A set, or a map, is written in another order each time; so is a text
//! into which a type joins one. Numbers are compared as they are written, because no type holds them all.

use std::slice::Iter;

/// Also tells what a parsed value would hide: a key that comes twice is two parts.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one == other || ordered(one) == ordered(other)
}

fn ordered(text: &[u8]) -> Vec<u8> {
    part(&mut text.iter()).0
}

/// The next part of a list or an object, all that is in it in order, and what stands behind it. The recursion is as
/// deep as the text, which `Json` bounds.
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

/// What is in a list or an object, and its end.
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

/// The bytes of a text, in order, between its quotes.
fn string(text: &mut Iter<'_, u8>) -> Vec<u8> {
    let mut engine = Vec::new();
    while let Some(&byte) = text.next() {
        match byte {
            b'"' => break,
            b'\\' => engine.extend([byte].into_iter().chain(text.next().copied())),
            _ => engine.push(byte),
        }
    }
    engine.sort_unstable();
    [b"\"", &*engine, b"\""].concat()
}
