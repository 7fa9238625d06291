//! Where a reply ends in the bytes that have arrived, and whether it may be read at all.
//!
//! Guarantees that a reply is refused before it takes more memory than the limit, whatever length
//! or number of elements it announces. Each byte of a line is looked at once. Called by the
//! connection, which has redis-rs parse a complete reply. Pure: it reads no socket.
//!
//! Source: the RESP specification, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use redis::{ErrorKind, RedisError, RedisResult};

use super::limits::{ELEMENT, too_large};

/// The deepest nesting. The reply to `HELLO` has four levels.
const DEEPEST: usize = 32;

/// A reply that is arriving.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Where the next element begins.
    next: usize,
    /// Up to where the line of that element was searched for its end.
    searched: usize,
    /// How many elements are missing in each open level, the outermost first.
    missing: Vec<usize>,
    /// The memory of the elements so far, and of those that are announced.
    size: usize,
}

impl Frame {
    /// The length of the reply at the beginning of these bytes. `None`: it is not complete. The
    /// next call must get the same bytes and more. `limit`: the most memory of a reply.
    pub(super) fn end(&mut self, bytes: &[u8], limit: usize) -> RedisResult<Option<usize>> {
        loop {
            let Some(line_end) = self.line_end(bytes, limit)? else {
                return Ok(None);
            };
            let (kind, text) = (bytes[self.next], &bytes[self.next + 1..line_end]);
            let after_line = line_end + 2;
            let (after, elements) = match kind {
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                    (after_line, self.line(text, limit)?)
                }
                b'$' | b'!' | b'=' => match length(text)? {
                    None if kind == b'$' => (after_line, self.line(b"", limit)?),
                    None => return Err(garbage("a length")),
                    Some(length) => {
                        self.fits(length, limit)?;
                        let text_end = after_line + length;
                        let Some(rest) = bytes.get(text_end..text_end + 2) else {
                            return Ok(None);
                        };
                        if rest != b"\r\n" {
                            return Err(garbage("the end of a text"));
                        }
                        self.add(length, limit)?;
                        (text_end + 2, 0)
                    }
                },
                b'*' | b'~' | b'>' | b'%' | b'|' => {
                    let elements = announced(kind, length(text)?)?;
                    let all = elements.checked_mul(ELEMENT);
                    self.add(all.ok_or_else(|| too_large(limit))?, limit)?;
                    (after_line, elements)
                }
                _ => return Err(garbage("the type of a reply")),
            };
            self.next = after;
            self.searched = after;
            if elements > 0 {
                if self.missing.len() == DEEPEST {
                    return Err(garbage("the nesting"));
                }
                self.missing.push(elements);
            } else if self.complete_element() {
                return Ok(Some(self.next));
            }
        }
    }

    /// Where the line of the next element ends.
    fn line_end(&mut self, bytes: &[u8], limit: usize) -> RedisResult<Option<usize>> {
        let new = bytes.get(self.searched..).unwrap_or_default();
        let found = new.windows(2).position(|two| two == b"\r\n");
        let end = found.map(|at| self.searched + at);
        // The last byte may be the first one of the end.
        self.searched = end.unwrap_or_else(|| bytes.len().saturating_sub(1).max(self.next));
        self.fits(self.searched - self.next, limit)?;
        // An empty line has no type.
        match end {
            Some(end) if end == self.next => Err(garbage("the type of a reply")),
            end => Ok(end),
        }
    }

    /// Counts an element that is a line. It contains no others.
    fn line(&mut self, text: &[u8], limit: usize) -> RedisResult<usize> {
        self.add(text.len(), limit).map(|()| 0)
    }

    fn add(&mut self, bytes: usize, limit: usize) -> RedisResult<()> {
        self.fits(bytes, limit)?;
        self.size += bytes;
        Ok(())
    }

    fn fits(&self, bytes: usize, limit: usize) -> RedisResult<()> {
        if self.size.saturating_add(bytes) > limit {
            return Err(too_large(limit));
        }
        Ok(())
    }

    /// Counts an element that is complete. True: with it, the reply is.
    fn complete_element(&mut self) -> bool {
        while let Some(missing) = self.missing.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return false;
            }
            self.missing.pop();
        }
        true
    }
}

/// How many elements a level of this kind has. None is nil.
fn announced(kind: u8, length: Option<usize>) -> RedisResult<usize> {
    let elements = match (kind, length) {
        (b'*' | b'~' | b'>', length) => Some(length.unwrap_or(0)),
        // Names and values.
        (b'%', Some(pairs)) => pairs.checked_mul(2),
        // The same, and then the reply itself.
        (_, Some(pairs)) => pairs.checked_mul(2).and_then(|both| both.checked_add(1)),
        (_, None) => None,
    };
    elements.ok_or_else(|| garbage("a number of elements"))
}

/// The length that a line announces. `None`: `-1`, which is nil.
fn length(text: &[u8]) -> RedisResult<Option<usize>> {
    if text == b"-1" {
        return Ok(None);
    }
    let text = std::str::from_utf8(text).ok();
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or_else(|| garbage("a length"))
}

/// The error of a reply that is none. It does not quote the reply, which may contain a record.
pub(in crate::redis) fn garbage(what: &'static str) -> RedisError {
    (ErrorKind::Parse, what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn whole(bytes: &[u8]) -> RedisResult<Option<usize>> {
        Frame::default().end(bytes, LIMIT)
    }

    const REPLIES: [&str; 16] = [
        "+OK\r\n",
        "-ERR no\r\n",
        ":-12\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$4\r\na\r\nb\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n%0\r\n",
        "~1\r\n#t\r\n",
        ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        "|1\r\n+ttl\r\n:1\r\n*1\r\n_\r\n",
        ",1.5\r\n",
        "=8\r\ntxt:text\r\n",
        "(123456789012345678901234567890\r\n",
    ];

    #[test]
    fn a_reply_ends_where_it_ends_however_its_bytes_arrive() {
        for reply in REPLIES {
            let bytes = reply.as_bytes();
            let mut frame = Frame::default();
            for arrived in 0..bytes.len() {
                let end = frame.end(&bytes[..arrived], LIMIT).unwrap();
                assert_eq!(end, None, "{arrived} bytes of {reply:?}");
            }
            assert_eq!(
                frame.end(bytes, LIMIT).unwrap(),
                Some(bytes.len()),
                "{reply:?}"
            );
            let more = [bytes, b"+more"].concat();
            assert_eq!(whole(&more).unwrap(), Some(bytes.len()), "{reply:?}");
            redis::parse_redis_value(bytes).expect(reply);
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let deep = "*1\r\n".repeat(DEEPEST + 1);
        let texts = [
            "\r\n",
            "OK\r\n",
            "$x\r\n",
            "$-2\r\n",
            "$+1\r\na\r\n",
            "$1\r\nabc",
            "*1.5\r\n",
            "%-1\r\n",
            "=-1\r\n",
            "*99999999999999999999\r\n",
            &deep,
        ];
        for text in texts {
            let error = whole(text.as_bytes()).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Parse, "{text:?}");
        }
    }

    #[test]
    fn a_reply_that_is_too_large_is_refused_when_it_is_announced() {
        let (bytes, elements) = (LIMIT + 1, LIMIT / ELEMENT + 1);
        let nested = format!("*{}\r\n*{}\r\n", elements / 2 + 1, elements / 2 + 1);
        let texts = [
            format!("${bytes}\r\n"),
            format!("*{elements}\r\n"),
            format!("%{}\r\n", elements / 2 + 1),
            "*9223372036854775807\r\n".to_owned(),
            "%9223372036854775807\r\n".to_owned(),
            nested,
            "+".to_owned() + &"a".repeat(LIMIT + 2),
        ];
        for text in texts {
            assert!(
                whole(text.as_bytes()).unwrap_err().is_io_error(),
                "{text:?}"
            );
        }
    }
}
