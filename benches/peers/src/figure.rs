//! Formats figures for readers: three digits and a unit.

use crate::spread::Spread;

/// `84 ns`, `51.2 µs`, `2.31 ms`.
pub(crate) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        ..1e-6 => (seconds * 1e9, "ns"),
        1e-6..1e-3 => (seconds * 1e6, "µs"),
        1e-3..1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// `1.03 (1.01–1.06)`.
pub(crate) fn ratio(spread: Spread) -> String {
    let [low, median, high] = [spread.low, spread.median, spread.high].map(three_digits);
    format!("{median} ({low}–{high})")
}

/// `18,200 (17,900–18,400)`.
pub(crate) fn count(spread: Spread) -> String {
    let [low, median, high] = [spread.low, spread.median, spread.high].map(whole);
    if low == high {
        median
    } else {
        format!("{median} ({low}–{high})")
    }
}

/// `18,230`.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.0312`, `1.03`, `18.2`, `512`.
pub(crate) fn three_digits(value: f64) -> String {
    let places = match value {
        ..0.1 => 3,
        0.1..9.995 => 2,
        9.995..99.95 => 1,
        _ => return whole(value),
    };
    format!("{value:.places$}")
}
