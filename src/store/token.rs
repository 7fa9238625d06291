//! The token of a lease: 16 random bytes, in hexadecimal.
//!
//! A token identifies *one fill*, never a thread, a process or a client. If it identified a client,
//! an old load of that client could fill under a later lease of the same client (the ABA problem).

use std::fmt;

/// How many hexadecimal digits a token has.
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

    /// Reads a token from the value of a lease key. `None` if another program wrote something else
    /// there.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Token> {
        bytes.try_into().ok().map(Token)
    }

    /// The digits of the token.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A number below `bound` that depends on the token and on `turn`. It spreads waiters in time
    /// that would otherwise poll at the same moment.
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

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_differ() {
        assert_ne!(Token::random(), Token::random());
    }

    #[test]
    fn what_a_lease_key_holds_is_the_token_again() {
        let token = Token::random();
        assert_eq!(Token::parse(token.as_bytes()), Some(token));
        assert_eq!(Token::parse(b"a foreign lock"), None);
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
