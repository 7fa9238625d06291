//! Shared parts of the pictures of the examples.

use plotters::prelude::*;

/// An explicit background, because the surrounding page may be light or dark.
pub(crate) const PAPER: RGBColor = RGBColor(0xfc, 0xfc, 0xfa);
pub(crate) const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
pub(crate) const FAINT: RGBColor = RGBColor(0x5f, 0x68, 0x72);
pub(crate) const GRID: RGBColor = RGBColor(0xe2, 0xe4, 0xe6);
/// Two colours that are easy to tell apart.
pub(crate) const BLUE: RGBColor = RGBColor(0x0b, 0x62, 0xc4);
pub(crate) const ORANGE: RGBColor = RGBColor(0xc8, 0x55, 0x0a);

/// A font of this height in pixels. `plotters` takes pixels for points.
pub(crate) fn font(pixels: i32) -> FontDesc<'static> {
    ("sans-serif", f64::from(pixels) * 1.24).into_font()
}

/// `10 µs`, `100 µs`, `1 ms`.
pub(crate) fn power_of_ten(seconds: f64) -> String {
    let nanos = (seconds * 1e9).round();
    match nanos {
        ..1e3 => format!("{nanos} ns"),
        1e3..1e6 => format!("{} µs", nanos / 1e3),
        1e6..1e9 => format!("{} ms", nanos / 1e6),
        _ => format!("{} s", nanos / 1e9),
    }
}
