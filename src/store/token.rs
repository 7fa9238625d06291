//! The token of a lease: 16 random bytes, in hexadecimal.
//!
//! A token identifies *one fill*, never a thread, a process or a client. If it identified a client,
//! an old load of that client could fill under a later lease of the same client (the ABA problem).

use std::fmt;

/// The length of a token in bytes.
const LEN: usize = 32;

/// Identifies one fill or one writer. As a nonce, it identifies a guard until the next write ends.
/// It is 128 random bits, in 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; LEN]);

impl Token {
    /// Creates a token that is unique.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give. Without it, two fills could not be
    /// told apart.
    #[must_use]
    pub fn random() -> Token {
        let mut bytes = [0; LEN / 2];
        getrandom::fill(&mut bytes).expect("the operating system has randomness");
        let mut digits = [0; LEN];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        Token(digits)
    }

    /// Returns the bytes that a store keeps: the digits of the token.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token that stands for this one together with a number.
    pub(crate) fn with_number(self, number: u128) -> Token {
        let text = std::str::from_utf8(&self.0).unwrap_or_default();
        let Ok(own) = u128::from_str_radix(text, 16) else {
            return self;
        };
        let mut digits = [0; LEN];
        let mixed = own ^ number;
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[usize::try_from(mixed >> (4 * at) & 15).unwrap_or(0)];
        }
        Token(digits)
    }

    /// A number below `bound` that depends on the token and on `turn`. With it, waiters poll at
    /// different moments.
    pub(crate) fn spread(&self, turn: u32, bound: u64) -> u64 {
        let mut mixed = u64::from(turn).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for chunk in self.0.chunks_exact(8) {
            let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
            mixed = (mixed ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            mixed ^= mixed >> 32;
        }
        mixed % bound.max(1)
    }
}

/// The value of a lease key is not a token: another program wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 32 bytes, and this has {length}")]
#[non_exhaustive]
pub struct InvalidToken {
    /// The length of the value in bytes.
    pub length: usize,
}

impl TryFrom<&[u8]> for Token {
    type Error = InvalidToken;

    fn try_from(bytes: &[u8]) -> Result<Token, InvalidToken> {
        let length = bytes.len();
        let bytes = bytes.try_into().map_err(|_| InvalidToken { length })?;
        Ok(Token(bytes))
    }
}

impl TryFrom<&str> for Token {
    type Error = InvalidToken;

    fn try_from(text: &str) -> Result<Token, InvalidToken> {
        Token::try_from(text.as_bytes())
    }
}

impl TryFrom<String> for Token {
    type Error = InvalidToken;

    fn try_from(text: String) -> Result<Token, InvalidToken> {
        Token::try_from(&*text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_another_number_is_another_token() {
        let token = Token::random();
        assert_eq!(token.with_number(0), token);
        assert_ne!(token.with_number(1), token.with_number(2));
        assert_eq!(token.with_number(7).with_number(7), token);
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(Token::random(), Token::random());
    }

    #[test]
    fn a_token_is_read_back_from_bytes_and_from_text() {
        let token = Token::random();
        let text = String::from_utf8(token.as_bytes().to_vec()).unwrap();
        assert!(text.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(Token::try_from(token.as_bytes()), Ok(token));
        assert_eq!(Token::try_from(&*text), Ok(token));
        assert_eq!(Token::try_from(text), Ok(token));
    }

    #[test]
    fn a_value_of_another_length_is_no_token() {
        let foreign = Token::try_from("a foreign lock").unwrap_err();
        assert_eq!(foreign.to_string(), "a token has 32 bytes, and this has 14");
        for length in [0, LEN - 1, LEN + 1] {
            assert_eq!(
                Token::try_from("x".repeat(length)),
                Err(InvalidToken { length })
            );
        }
    }

    #[test]
    fn waiters_spread_over_the_whole_pause() {
        let token = Token::random();
        let low = (0..200)
            .filter(|&turn| token.spread(turn, 100) < 50)
            .count();
        assert!((50..150).contains(&low), "{low} of 200 in the lower half");
    }
}
