//! Lengths and numbers of elements that are wrong, and elements too many, too few or too deep.

use super::Wrong;
use crate::scanner::reply_end;

pub(super) fn all() -> Vec<Wrong> {
    let lines = [
        ("bulk-minus-2", "$-2\r\n"),
        ("bulk-no-length", "$\r\n"),
        ("bulk-no-number", "$abc\r\n"),
        ("bulk-plus", "$+1\r\na\r\n"),
        ("bulk-fraction", "$1.5\r\na\r\n"),
        ("bulk-huge", "$9223372036854775807\r\n"),
        ("bulk-beyond-64-bits", "$99999999999999999999\r\n"),
        ("bulk-too-short", "$8\r\ntext\r\n"),
        ("bulk-too-long", "$2\r\ntext\r\n"),
        ("array-minus-2", "*-2\r\n"),
        ("array-no-length", "*\r\n"),
        ("array-no-number", "*abc\r\n"),
        ("array-huge", "*9223372036854775807\r\n"),
        ("array-beyond-64-bits", "*99999999999999999999\r\n"),
        ("array-of-a-billion", "*1000000000\r\n"),
        ("map-minus-1", "%-1\r\n"),
        ("map-huge", "%9223372036854775807\r\n"),
        ("set-huge", "~9223372036854775807\r\n"),
        ("attribute-huge", "|9223372036854775807\r\n"),
        ("push-huge", ">9223372036854775807\r\n"),
        ("push-empty", ">0\r\n"),
        ("int-empty", ":\r\n"),
        ("int-no-number", ":abc\r\n"),
        ("int-beyond-64-bits", ":99999999999999999999\r\n"),
        ("empty-line", "\r\n"),
        ("line-feed-only", "+OK\n"),
        ("zero-bytes", "\0\0\0\0\r\n"),
    ];
    let mut all: Vec<_> = lines
        .into_iter()
        .map(|(name, reply)| Wrong::bytes(name, reply))
        .collect();
    all.extend([
        Wrong::made("first-length-plus-1", |asked| with_length(asked.right, 1)),
        Wrong::made("first-length-minus-1", |asked| with_length(asked.right, -1)),
        Wrong::made("last-length-plus-1", |asked| {
            with_last_length(asked.right, 1)
        }),
        Wrong::made("last-length-minus-1", |asked| {
            with_last_length(asked.right, -1)
        }),
        Wrong::made("one-element-less", |asked| {
            with_elements(asked.right, 1, &[])
        }),
        Wrong::made("two-elements-less", |asked| {
            with_elements(asked.right, 2, &[])
        }),
        Wrong::made("no-elements", |asked| {
            with_elements(asked.right, usize::MAX, &[])
        }),
        Wrong::made("one-element-more", |asked| {
            with_elements(asked.right, 0, &[b":1\r\n"])
        }),
        Wrong::made("two-elements-more", |asked| {
            with_elements(asked.right, 0, &[b"$1\r\na\r\n", b"$1\r\nb\r\n"])
        }),
        Wrong::made("nil-as-last", |asked| {
            with_elements(asked.right, 1, &[b"$-1\r\n"])
        }),
        Wrong::made("array-as-last", |asked| {
            with_elements(asked.right, 1, &[b"*0\r\n"])
        }),
        Wrong::made("error-as-last", |asked| {
            with_elements(asked.right, 1, &[b"-ERR no\r\n"])
        }),
        Wrong::made("nested", |asked| [b"*1\r\n", asked.right].concat()),
        Wrong::made("nested-twice", |asked| {
            [b"*1\r\n*2\r\n", asked.right, asked.right].concat()
        }),
        Wrong::made("nested-40-deep", |asked| {
            [&*b"*1\r\n".repeat(40), asked.right].concat()
        }),
        Wrong::made("nested-100000-deep", |asked| {
            [&*b"*1\r\n".repeat(100_000), asked.right].concat()
        }),
        Wrong::made("maps-100000-deep", |_| b"%1\r\n+a\r\n".repeat(100_000)),
    ]);
    all
}

/// The same reply, with another number in its first line.
fn with_length(reply: &[u8], by: i64) -> Vec<u8> {
    let end = reply
        .windows(2)
        .position(|two| two == b"\r\n")
        .unwrap_or(reply.len());
    let (line, rest) = reply.split_at(end);
    let number = std::str::from_utf8(line.get(1..).unwrap_or_default());
    match number.ok().and_then(|number| number.parse::<i64>().ok()) {
        Some(number) => {
            let line = format!("{}{}", char::from(line[0]), number + by);
            [line.as_bytes(), rest].concat()
        }
        None => reply.to_vec(),
    }
}

/// The same reply, with another number in the first line of its last element.
fn with_last_length(reply: &[u8], by: i64) -> Vec<u8> {
    let (_, elements) = elements(reply);
    match elements.split_last() {
        Some((last, before)) => {
            let head = reply.len() - last.len() - before.concat().len();
            [&reply[..head], &before.concat(), &with_length(last, by)].concat()
        }
        None => with_length(reply, by),
    }
}

/// The same reply, without its last elements and with others behind.
fn with_elements(reply: &[u8], less: usize, more: &[&[u8]]) -> Vec<u8> {
    let (kind, mut elements) = elements(reply);
    elements.truncate(elements.len().saturating_sub(less));
    elements.extend(more);
    // The number of a map is that of its pairs.
    let count = if kind == b'%' {
        elements.len() / 2
    } else {
        elements.len()
    };
    [
        format!("{}{count}\r\n", char::from(kind)).as_bytes(),
        &elements.concat(),
    ]
    .concat()
}

/// The type of an aggregate, and its elements. Of another reply: an array of it alone.
fn elements(reply: &[u8]) -> (u8, Vec<&[u8]>) {
    let kind = reply.first().copied().unwrap_or(b'*');
    if !b"*%~>".contains(&kind) {
        return (b'*', vec![reply]);
    }
    let head = reply
        .windows(2)
        .position(|two| two == b"\r\n")
        .map_or(reply.len(), |at| at + 2);
    let (mut rest, mut elements) = (&reply[head..], Vec::new());
    while let Ok(Some(end)) = reply_end(rest) {
        let (element, behind) = rest.split_at(end);
        elements.push(element);
        rest = behind;
    }
    (kind, elements)
}
