//! Chance, for what would else happen everywhere at once.

use std::time::Duration;

use crate::store::token::Token;

/// A number from above 0 to 1, all equally likely, to 53 bits.
///
/// # Panics
///
/// When the operating system has no randomness to give.
pub(crate) fn fraction() -> f64 {
    /// So many bits a float holds.
    const BITS: u32 = 53;
    let word = getrandom::u64().expect("the operating system has randomness");
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are as many bits as a float holds"
    )]
    let steps = ((word >> (u64::BITS - BITS)) + 1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let all = (1_u64 << BITS) as f64;
    steps / all
}

/// A pause, less up to half of it by chance, so that the processes of a fleet don't act in step.
pub(crate) fn shortened(pause: Duration) -> Duration {
    let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
    pause.saturating_sub(Duration::from_micros(Token::random().spread(0, half)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_lie_everywhere_from_above_0_to_1() {
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let fraction = fraction();
            assert!(fraction > 0.0 && fraction <= 1.0, "{fraction}");
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 9"
            )]
            let tenth = ((fraction * 10.0) as usize).min(9);
            tenths[tenth] += 1;
        }
        assert!(
            tenths.iter().all(|count| (800..1_200).contains(count)),
            "{tenths:?}"
        );
    }
}
