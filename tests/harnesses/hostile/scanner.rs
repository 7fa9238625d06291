//! Where commands and replies end: RESP2 and RESP3. Pure: it reads no socket.
//!
//! It is not the scanner of the crate, because it must notice what that one overlooks.

/// Bytes that are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The words of a command.
pub(crate) type Words = Vec<Vec<u8>>;

/// The type and the text of a line, and where the next one begins.
type Line<'a> = (u8, &'a [u8], usize);

/// The length of the first reply. `None`: more bytes are needed.
pub(crate) fn reply_end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let (mut at, mut missing) = (0, 1_usize);
    while missing > 0 {
        let Some((kind, text, after)) = line(bytes, at)? else {
            return Ok(None);
        };
        missing -= 1;
        at = after;
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'$' | b'=' | b'!' => {
                if let Some(length) = number(text)? {
                    let end = at.checked_add(length).ok_or(Malformed)?;
                    match bytes.get(end..end + 2) {
                        None => return Ok(None),
                        Some(b"\r\n") => at = end + 2,
                        Some(_) => return Err(Malformed),
                    }
                }
            }
            b'*' | b'~' | b'>' => add(&mut missing, number(text)?, 1, 0)?,
            b'%' => add(&mut missing, number(text)?, 2, 0)?,
            b'|' => add(&mut missing, number(text)?, 2, 1)?,
            _ => return Err(Malformed),
        }
    }
    Ok(Some(at))
}

/// Whether this is exactly one reply.
pub(crate) fn is_one_reply(bytes: &[u8]) -> bool {
    reply_end(bytes) == Ok(Some(bytes.len()))
}

fn add(
    missing: &mut usize,
    count: Option<usize>,
    each: usize,
    more: usize,
) -> Result<(), Malformed> {
    let elements = count.unwrap_or(0).checked_mul(each).ok_or(Malformed)?;
    let sum = missing
        .checked_add(elements)
        .and_then(|sum| sum.checked_add(more));
    *missing = sum.ok_or(Malformed)?;
    Ok(())
}

/// The line at this place. `None`: more bytes are needed.
fn line(bytes: &[u8], at: usize) -> Result<Option<Line<'_>>, Malformed> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    match rest[..end].split_first() {
        Some((kind, text)) => Ok(Some((*kind, text, at + end + 2))),
        None => Err(Malformed),
    }
}

/// A length. `None` is nil.
fn number(text: &[u8]) -> Result<Option<usize>, Malformed> {
    if text == b"-1" {
        return Ok(None);
    }
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    text.parse().map(Some).map_err(|_| Malformed)
}

/// The words of the first command, and its length. `None`: more bytes are needed.
pub(crate) fn command(bytes: &[u8]) -> Result<Option<(Words, usize)>, Malformed> {
    let Some((b'*', count, mut at)) = line(bytes, 0)? else {
        return if bytes.contains(&b'\n') {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    let mut words = Vec::new();
    for _ in 0..number(count)?.unwrap_or(0) {
        let Some((b'$', length, after)) = line(bytes, at)? else {
            return Ok(None);
        };
        let length = number(length)?.ok_or(Malformed)?;
        let Some(word) = bytes.get(after..after + length) else {
            return Ok(None);
        };
        words.push(word.to_vec());
        at = after + length + 2;
    }
    Ok((at <= bytes.len()).then_some((words, at)))
}

/// The texts in a reply, in their order: what a client would take for names and values.
pub(crate) fn texts(reply: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut texts) = (0, Vec::new());
    while let Ok(Some((kind, text, after))) = line(reply, at) {
        at = after;
        if kind == b'$'
            && let Ok(Some(length)) = number(text)
            && let Some(text) = reply.get(at..at.saturating_add(length))
        {
            texts.push(text);
            at += length + 2;
        }
    }
    texts
}
