//! The picture: stale reads per million of each peer, in each scenario.
//!
//! A logarithmic scale, with a column of its own for none at all. A line joins the smallest and the
//! largest of the rounds.

#[path = "../../peers/src/plot/canvas.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod canvas;

use std::{error::Error, path::Path};

use plotters::{prelude::*, style::text_anchor::HPos};

use crate::{
    figure,
    paint::{BLUE, FAINT, GRID, INK, ORANGE},
    peer::OURS,
    results::{Cell, Entry},
    turn::Scenario,
};
use canvas::{Area, HEAD, Scale, powers, start, text};

type Outcome = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 860;

/// The height of a peer, with a place for each scenario.
const ROW: i32 = 34;

/// The middle of the column for none at all, and the ends of the scale.
const NONE: i32 = 225;
const LEFT: i32 = 270;
const RIGHT: i32 = WIDTH - 50;

/// The space for the names of the scenarios, below the title.
const LEGEND: i32 = 34;

const GREEN: RGBColor = RGBColor(0x3f, 0x7a, 0x3a);

/// Draws all entries, those with the fewest stale reads first.
pub(crate) fn draw(path: &Path, entries: &[Entry]) -> Outcome {
    let mut rows: Vec<_> = entries.iter().collect();
    let worst = |entry: &Entry| {
        let cells = entry.cells.iter();
        cells
            .map(|cell| cell.stale_per_million().median)
            .fold(0.0, f64::max)
    };
    rows.sort_by(|a, b| worst(a).total_cmp(&worst(b)));
    let top = HEAD + LEGEND;
    let bottom = top + ROW * i32::try_from(rows.len())?;
    let size = (WIDTH.unsigned_abs(), (bottom + 62).unsigned_abs());
    let title = "Stale reads per million: less is better (each step ten times the last)";
    let area = start(path, title, size)?;
    let scale = Scale {
        values: (1.0, 1e6),
        pixels: (LEFT, RIGHT),
    };
    grid(&area, scale, (top, bottom))?;
    legend(&area)?;
    for (y, entry) in (top..).step_by(ROW.unsigned_abs() as usize).zip(rows) {
        let ours = entry.peer.name == OURS;
        let color = if ours { BLUE } else { INK };
        let name = format!("{}{}", entry.peer.name, entry.peer.mark());
        let at = (NONE - 24, y + ROW / 2);
        text(&area, &name, at, (14, color, ours), HPos::Right)?;
        for (place, cell) in (0..).zip(&entry.cells) {
            mark(&area, scale, cell, y + 7 + 10 * place)?;
        }
    }
    area.present()?;
    Ok(())
}

fn color_of(scenario: Scenario) -> RGBColor {
    match scenario {
        Scenario::Races => BLUE,
        Scenario::Connections => ORANGE,
        Scenario::Deaths => GREEN,
    }
}

/// An open circle where there was none, else a full one at the median.
fn mark(area: &Area<'_>, scale: Scale, cell: &Cell, y: i32) -> Outcome {
    let spread = cell.stale_per_million();
    let color = color_of(cell.scenario);
    let place = |value: f64| {
        if value < 1.0 {
            NONE
        } else {
            scale.at(value.min(scale.values.1))
        }
    };
    let (low, at, high) = (place(spread.low), place(spread.median), place(spread.high));
    if high > low {
        let line = PathElement::new([(low, y), (high, y)], color.mix(0.6).stroke_width(2));
        area.draw(&line)?;
    }
    let style = if spread.median < 1.0 {
        color.stroke_width(2)
    } else {
        color.filled()
    };
    area.draw(&Circle::new((at, y), 4, style))?;
    Ok(())
}

fn grid(area: &Area<'_>, scale: Scale, (top, bottom): (i32, i32)) -> Outcome {
    let (low, high) = scale.values;
    let ticks = powers(low, high).map(|power| (scale.at(power), figure::whole(power)));
    for (x, label) in [(NONE, "none".to_owned())].into_iter().chain(ticks) {
        area.draw(&PathElement::new([(x, top), (x, bottom)], GRID))?;
        text(
            area,
            &label,
            (x, bottom + 14),
            (13, FAINT, false),
            HPos::Center,
        )?;
    }
    let note = "† its documentation says that a read may be old after a write";
    let at = (i32::midpoint(LEFT, RIGHT), bottom + 40);
    text(area, note, at, (13, FAINT, false), HPos::Center)
}

fn legend(area: &Area<'_>) -> Outcome {
    let y = HEAD + 8;
    for (x, scenario) in (NONE..).step_by(170).zip(Scenario::ALL) {
        let color = color_of(scenario);
        area.draw(&Circle::new((x, y), 4, color.filled()))?;
        let at = (x + 12, y);
        text(area, scenario.name(), at, (14, color, false), HPos::Left)?;
    }
    Ok(())
}
