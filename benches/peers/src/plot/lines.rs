//! Draws a line for each peer, over the number of threads, with its name at the end of the line.

use std::path::Path;

use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Outcome,
    canvas::{Area, HEAD, Scale, color_of, start, text},
};
use crate::{
    paint::{FAINT, GRID},
    peer::OURS,
};

const SIZE: (u32, u32) = (860, 440);
const LEFT: i32 = 90;
/// Room for the names on its right.
const RIGHT: i32 = 710;
const BOTTOM: i32 = 380;

/// The distance between two names that are one below the other.
const LINE: i32 = 17;

pub(super) struct Line {
    pub(super) name: &'static str,
    /// The number of threads, and the value for it.
    pub(super) points: Vec<(usize, f64)>,
}

pub(super) fn draw(
    path: &Path,
    title: &str,
    label: &dyn Fn(f64) -> String,
    lines: &[Line],
) -> Outcome {
    let area = start(path, title, SIZE)?;
    let points = || lines.iter().flat_map(|line| &line.points);
    let values = points().map(|(_, value)| *value);
    let threads = points().map(|(threads, _)| as_f64(*threads));
    let x = Scale {
        values: ends(threads),
        pixels: (LEFT, RIGHT),
    };
    let (low, high) = ends(values);
    let y = Scale {
        values: (low * 0.85, high * 1.15),
        pixels: (BOTTOM, HEAD),
    };
    grid(&area, x, y, label, lines)?;
    // This crate last, so that its line is on top.
    let (ours, others): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.name == OURS);
    for line in others.into_iter().chain(ours) {
        let color = color_of(line.name);
        let width: i32 = if line.name == OURS { 4 } else { 2 };
        let pixels = line.points.iter();
        let pixels: Vec<_> = pixels
            .map(|(threads, value)| (x.at(as_f64(*threads)), y.at(*value)))
            .collect();
        for at in &pixels {
            area.draw(&Circle::new(*at, width + 1, color.filled()))?;
        }
        area.draw(&PathElement::new(
            pixels,
            color.stroke_width(width.unsigned_abs()),
        ))?;
    }
    names(&area, y, lines)?;
    area.present()?;
    Ok(())
}

fn grid(
    area: &Area<'_>,
    x: Scale,
    y: Scale,
    label: &dyn Fn(f64) -> String,
    lines: &[Line],
) -> Outcome {
    for tick in y.ticks() {
        let at = y.at(tick);
        area.draw(&PathElement::new([(LEFT, at), (RIGHT, at)], GRID))?;
        text(
            area,
            &label(tick),
            (LEFT - 10, at),
            (13, FAINT, false),
            HPos::Right,
        )?;
    }
    for (threads, _) in lines.iter().take(1).flat_map(|line| &line.points) {
        let at = x.at(as_f64(*threads));
        area.draw(&PathElement::new([(at, HEAD), (at, BOTTOM)], GRID))?;
        text(
            area,
            &threads.to_string(),
            (at, BOTTOM + 16),
            (13, FAINT, false),
            HPos::Center,
        )?;
    }
    text(
        area,
        "threads (bare redis-rs has a connection for each of them)",
        (i32::midpoint(LEFT, RIGHT), BOTTOM + 40),
        (13, FAINT, false),
        HPos::Center,
    )
}

/// Where lines end close together, their names make room for each other.
fn names(area: &Area<'_>, y: Scale, lines: &[Line]) -> Outcome {
    let mut ends: Vec<_> = lines
        .iter()
        .filter_map(|line| Some((y.at(line.points.last()?.1), line.name)))
        .collect();
    ends.sort_unstable();
    let mut lowest = i32::MIN;
    for (at, _) in &mut ends {
        *at = (*at).max(lowest);
        lowest = *at + LINE;
    }
    let mut highest = BOTTOM + LINE;
    for (at, _) in ends.iter_mut().rev() {
        *at = (*at).min(highest);
        highest = *at - LINE;
    }
    for (at, name) in ends {
        text(
            area,
            name,
            (RIGHT + 14, at),
            (15, color_of(name), name == OURS),
            HPos::Left,
        )?;
    }
    Ok(())
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

#[allow(clippy::cast_precision_loss, reason = "a few hundred")]
fn as_f64(threads: usize) -> f64 {
    threads as f64
}
