//! The shared parts of the pictures: colours, a title, and a logarithmic scale.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::Outcome;
use crate::{
    paint::{BLUE, INK, PAPER, font},
    peer::OURS,
};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The space above a picture.
pub(super) const HEAD: i32 = 52;

/// Dark enough to be read as text.
pub(super) fn color_of(name: &str) -> RGBColor {
    match name {
        OURS => BLUE,
        "bare redis-rs" => RGBColor(0x6b, 0x72, 0x80),
        "r2d2 unchecked" => RGBColor(0x5f, 0x7a, 0x5a),
        "r2d2" => RGBColor(0x8f, 0x6a, 0x4a),
        "plain helper" => RGBColor(0x84, 0x63, 0x8c),
        "cached" => RGBColor(0x94, 0x72, 0x1f),
        "amalgam-cache" | "amalgam + locker" => RGBColor(0x9c, 0x58, 0x60),
        "quick_cache" => RGBColor(0x3f, 0x7a, 0x78),
        _ => RGBColor(0x7d, 0x75, 0x6a),
    }
}

pub(super) fn start<'a>(
    path: &'a Path,
    title: &str,
    size: (u32, u32),
) -> Result<Area<'a>, Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&PAPER)?;
    let style = font(18).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(title.to_owned(), (20, 18), style))?;
    Ok(area)
}

/// Writes text beside a point: to its right, to its left, or centred on it.
pub(super) fn text(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    look: (i32, RGBColor, bool),
    side: HPos,
) -> Outcome {
    let (height, color, bold) = look;
    let weight = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let pos = Pos::new(side, VPos::Center);
    let style = font(height).style(weight).color(&color).pos(pos);
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// Converts values to pixels. Equal factors have equal lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) values: (f64, f64),
    pub(super) pixels: (i32, i32),
}

impl Scale {
    #[allow(clippy::cast_possible_truncation, reason = "pixels")]
    pub(super) fn at(self, value: f64) -> i32 {
        let ((low, high), (from, to)) = (self.values, self.pixels);
        let share = (value / low).ln() / (high / low).ln();
        from + (share * f64::from(to - from)).round() as i32
    }

    /// 1, 2, 5, 10, 20 … between both ends.
    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        let (low, high) = self.values;
        powers(low, high)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * power))
            .filter(move |tick| (low * 0.999..=high * 1.001).contains(tick))
    }
}

/// The powers of ten, from the one below `low` to the one above `high`.
pub(super) fn powers(low: f64, high: f64) -> impl Iterator<Item = f64> {
    #[allow(clippy::cast_possible_truncation, reason = "some tens")]
    let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (from..=to).map(|power| 10_f64.powi(power))
}
