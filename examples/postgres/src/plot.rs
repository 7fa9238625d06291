//! Draws the stale reads: a bar for each line of the table.

use std::path::Path;

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    Outcome,
    paint::{BLUE, FAINT, INK, ORANGE, PAPER, font},
    print::count,
    scenario::Scenario,
    tally::Counts,
};

const WIDTH: i32 = 860;

/// The height of the title.
const HEAD: i32 = 78;

/// The height of a bar, and of a bar with the gap below it.
const BAR: i32 = 22;
const ROW: i32 = 40;

/// The space for names to the left of the bars, and for figures to the right of the longest.
const NAMES: i32 = 240;
const FIGURES: i32 = 200;

pub(crate) fn draw(path: &Path, lag: &str, lines: &[(Scenario, Counts)]) -> Outcome<()> {
    let rows = i32::try_from(lines.len())?;
    let size = (
        WIDTH.unsigned_abs(),
        (HEAD + rows * ROW + 12).unsigned_abs(),
    );
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&PAPER)?;
    let title = font(18).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new("Stale reads per million", (24, 18), title))?;
    let text = format!("PostgreSQL with a replica that lags by {lag}, behind a cache in Redis");
    area.draw(&Text::new(text, (24, 46), font(14).color(&FAINT)))?;

    let most = lines.iter().map(|(_, counts)| counts.stale_per_million());
    let most = most.max().unwrap_or(0).max(1);
    for ((scenario, counts), row) in lines.iter().zip(0..) {
        let stale = counts.stale_per_million();
        let top = HEAD + row * ROW;
        let middle = top + BAR / 2;
        let longest = u64::from((WIDTH - NAMES - FIGURES).unsigned_abs());
        // A few stale reads are not none.
        let length = (stale * longest / most).max(u64::from(stale > 0) * 2);
        let end = NAMES + i32::try_from(length)?;
        let color = if stale == 0 { BLUE } else { ORANGE };
        area.draw(&Rectangle::new(
            [(NAMES, top), (end, top + BAR)],
            color.filled(),
        ))?;
        let name = font(14)
            .color(&INK)
            .pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(scenario.name(), (NAMES - 10, middle), name))?;
        let figure = font(14).style(FontStyle::Bold).color(&color);
        let figure = figure.pos(Pos::new(HPos::Left, VPos::Center));
        let label = if stale == 0 {
            format!("0 of {} reads", count(counts.reads))
        } else {
            count(stale)
        };
        area.draw(&Text::new(label, (end + 8, middle), figure))?;
    }
    area.present()?;
    Ok(())
}
