//! Bars from the shortest to the longest, on a logarithmic scale: the values differ by orders of
//! magnitude.

use std::path::Path;

use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Outcome,
    canvas::{Area, HEAD, Scale, color_of, powers, start, text},
};
use crate::{
    paint::{GRID, INK},
    peer::OURS,
};

const WIDTH: i32 = 860;

/// The height of a bar and the gap below it.
const ROW: i32 = 21;
const BAR: i32 = 14;

/// The space above the bars of a panel, and below them.
const PANEL_HEAD: i32 = 30;

/// The space for names to the left of the bars, and for figures to the right of the longest.
const NAMES: i32 = 130;
const FIGURES: i32 = 130;

pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) label: String,
}

pub(super) struct Panel {
    head: String,
    bars: Vec<Bar>,
}

impl Panel {
    pub(super) fn new(head: String, mut bars: Vec<Bar>) -> Panel {
        bars.sort_by(|a, b| a.value.total_cmp(&b.value));
        Panel { head, bars }
    }

    fn height(&self) -> i32 {
        PANEL_HEAD + ROW * i32::try_from(self.bars.len()).unwrap_or(0)
    }

    /// The powers of ten around all values.
    fn range<'a>(panels: impl Iterator<Item = &'a Panel>) -> (f64, f64) {
        let values = panels.flat_map(|panel| &panel.bars).map(|bar| bar.value);
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let low = powers(low * 0.7, high).next().unwrap_or(low);
        (low, powers(low, high).last().unwrap_or(high))
    }
}

/// Draws the panels one below the other, with one scale.
pub(super) fn draw_stacked(path: &Path, title: &str, panels: &[Panel]) -> Outcome {
    let height = HEAD + panels.iter().map(Panel::height).sum::<i32>() + 16;
    let area = start(path, title, (WIDTH.unsigned_abs(), height.unsigned_abs()))?;
    let scale = Scale {
        values: Panel::range(panels.iter()),
        pixels: (NAMES + 20, WIDTH - FIGURES),
    };
    let mut top = HEAD;
    for panel in panels {
        draw_panel(&area, panel, top, scale)?;
        top += panel.height();
    }
    area.present()?;
    Ok(())
}

/// Draws the panels side by side, each with its own scale.
pub(super) fn draw_side_by_side(path: &Path, title: &str, panels: &[Panel]) -> Outcome {
    let height = HEAD + panels.iter().map(Panel::height).max().unwrap_or(0) + 16;
    let area = start(path, title, (WIDTH.unsigned_abs(), height.unsigned_abs()))?;
    let width = WIDTH / i32::try_from(panels.len())?;
    let mut left = 0;
    for panel in panels {
        let scale = Scale {
            values: Panel::range([panel].into_iter()),
            pixels: (left + NAMES + 20, left + width - 80),
        };
        draw_panel(&area, panel, HEAD, scale)?;
        left += width;
    }
    area.present()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, panel: &Panel, top: i32, scale: Scale) -> Outcome {
    let (left, _) = scale.pixels;
    let first = top + PANEL_HEAD;
    let bottom = top + panel.height() - (ROW - BAR);
    text(
        area,
        &panel.head,
        (left, top + 14),
        (15, INK, true),
        HPos::Left,
    )?;
    let (low, high) = scale.values;
    for power in powers(low, high) {
        let x = scale.at(power);
        area.draw(&PathElement::new([(x, first - 4), (x, bottom + 2)], GRID))?;
    }
    for (y, bar) in (first..)
        .step_by(ROW.unsigned_abs() as usize)
        .zip(&panel.bars)
    {
        let (color, ours) = (color_of(bar.name), bar.name == OURS);
        let (middle, end) = (y + BAR / 2, scale.at(bar.value).max(left + 2));
        let fill = if ours {
            color.mix(1.0)
        } else {
            color.mix(0.55)
        };
        area.draw(&Rectangle::new([(left, y), (end, y + BAR)], fill.filled()))?;
        text(
            area,
            bar.name,
            (left - 8, middle),
            (14, color, ours),
            HPos::Right,
        )?;
        text(
            area,
            &bar.label,
            (end + 7, middle),
            (14, color, ours),
            HPos::Left,
        )?;
    }
    Ok(())
}
