//! Draws the times: a panel for each table. All axes are logarithmic, so that a power is a straight
//! line.

use std::{error::Error, ops::Range, path::Path};

use plotters::{coord::Shift, prelude::*};

use crate::{
    paint::{BLUE, FAINT, GRID, INK, ORANGE, PAPER, font, power_of_ten},
    table::{Column, Table, Unit},
};

/// In pixels, about the width of a page.
const WIDTH: u32 = 860;
const HEAD: u32 = 40;
const PANEL: u32 = 260;
const ACROSS: usize = 2;

const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const PURPLE: RGBColor = RGBColor(0xb0, 0x3a, 0x8c);

type Drawn<T> = Result<T, Box<dyn Error>>;

pub(crate) fn draw(path: &Path, tables: &[&Table]) -> Drawn<()> {
    let down = tables.len().div_ceil(ACROSS);
    let height = HEAD + PANEL * u32::try_from(down)?;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&PAPER)?;
    let (head, panels) = root.split_vertically(HEAD);
    let title = font(18).style(FontStyle::Bold).color(&INK);
    head.draw(&Text::new(
        "How the time of a call grows; dashed: as much as what is varied",
        (24, 14),
        title,
    ))?;
    for (panel, table) in panels.split_evenly((down, ACROSS)).iter().zip(tables) {
        draw_panel(panel, table)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, table: &Table) -> Drawn<()> {
    let title = font(14).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(table.title.replace('`', ""), (76, 6), title))?;
    let times = || {
        let columns = table.columns.iter();
        columns.filter(|column| column.unit == Unit::Time)
    };
    draw_legend(area, times())?;
    let sizes: Vec<_> = table.steps.iter().map(|(_, size)| *size).collect();
    let across = sizes[0]..sizes[sizes.len() - 1];
    let up = powers(times());
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(24)
        .margin_top(46)
        .margin_bottom(8)
        .x_label_area_size(34)
        .y_label_area_size(56)
        .build_cartesian_2d(across.clone().log_scale(), up.clone().log_scale())?;
    chart
        .configure_mesh()
        .axis_style(FAINT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(font(12).color(&FAINT))
        .x_desc(table.axis)
        .x_label_formatter(&|size| plain(*size))
        .y_label_formatter(&|seconds| power_of_ten(*seconds))
        .y_labels(6)
        .draw()?;
    // From the lower left corner, as far as it stays in the panel.
    let right = across.end.min(across.start * up.end / up.start);
    let linear = [
        (across.start, up.start),
        (right, up.start * right / across.start),
    ];
    chart.draw_series(DashedLineSeries::new(linear, 4, 4, FAINT.stroke_width(1)))?;
    for (column, colour) in times().map(|column| (column, colour(column))) {
        let points: Vec<_> = sizes
            .iter()
            .copied()
            .zip(column.figures.iter().copied())
            .collect();
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart.draw_series(
            points
                .into_iter()
                .map(|point| Circle::new(point, 3, colour.filled())),
        )?;
    }
    Ok(())
}

fn draw_legend<'a>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    columns: impl Iterator<Item = &'a Column>,
) -> Drawn<()> {
    let mut x = 76;
    for column in columns {
        let text = column.name.replace('`', "");
        area.draw(&Rectangle::new(
            [(x, 31), (x + 10, 37)],
            colour(column).filled(),
        ))?;
        // The average width of a letter, about.
        let width = 6 * i32::try_from(text.len())?;
        area.draw(&Text::new(text, (x + 14, 27), font(12).color(&INK)))?;
        x += 26 + width;
    }
    Ok(())
}

/// The same colour for the same call in all panels; bare calls are grey.
fn colour(column: &Column) -> RGBColor {
    match column.name {
        "bare `HGETALL`" | "bare `DEL`" => FAINT,
        "bare steps of a miss" => RGBColor(0xa0, 0xa6, 0xac),
        "hit" => BLUE,
        "near hit" => GREEN,
        "`build` of one" => PURPLE,
        _ => ORANGE,
    }
}

/// The powers of ten around all figures.
fn powers<'a>(columns: impl Iterator<Item = &'a Column>) -> Range<f64> {
    let all: Vec<_> = columns
        .flat_map(|column| &column.figures)
        .copied()
        .collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil())
}

fn plain(size: f64) -> String {
    match size {
        ..1e3 => format!("{size:.0}"),
        1e3..1e6 => format!("{:.0} k", size / 1e3),
        _ => format!("{:.0} M", size / 1e6),
    }
}
