//! Random numbers that spread the actions of many processes over time.
//!
//! Used wherever many processes might act at the same moment.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A number above 0 and up to 1, uniformly distributed, with 53 bits.
///
/// # Panics
///
/// Panics if the operating system has no randomness to give.
pub(crate) fn fraction() -> f64 {
    /// The precision of an `f64`.
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

/// A number of all 64 bits, in about a nanosecond: no system call but at the first call of a
/// thread. Only for choices that nobody needs to guess.
///
/// It is `SplitMix64`, of G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014.
#[inline]
pub(crate) fn quick() -> u64 {
    thread_local! {
        /// 0: the thread has none yet.
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let before = match STATE.get() {
        // So short-lived threads do not all make the same first choices.
        0 => RandomState::new().hash_one(0),
        state => state,
    };
    let state = before.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The pause, shortened at random by up to half of it, so that many processes do not act at the
/// same moment.
pub(crate) fn shortened(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - fraction() / 2.0)
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

    #[test]
    fn quick_numbers_lie_everywhere_and_each_thread_begins_with_another() {
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let tenth = quick() / (u64::MAX / 10 + 1);
            tenths[usize::try_from(tenth).unwrap()] += 1;
        }
        assert!(
            tenths.iter().all(|count| (800..1_200).contains(count)),
            "{tenths:?}"
        );
        let first = || std::thread::spawn(quick).join().unwrap();
        assert_ne!(first(), first());
    }

    #[test]
    fn a_pause_is_shortened_by_up_to_half() {
        let pause = Duration::from_secs(1);
        let mut below = 0;
        for _ in 0..1_000 {
            let shortened = shortened(pause);
            assert!(shortened >= pause / 2 && shortened < pause, "{shortened:?}");
            below += u32::from(shortened < pause * 3 / 4);
        }
        assert!(
            (400..600).contains(&below),
            "{below} of 1,000 in the lower half"
        );
        assert_eq!(super::shortened(Duration::ZERO), Duration::ZERO);
    }
}
