//! Draws two panels: the cost of a change for the server by the number of listeners, and the number
//! of reads from which a near cache pays.

use std::{error::Error, ops::Range, path::Path};

use plotters::{coord::Shift, prelude::*};

use crate::{
    Measured,
    capacity_plan::FLEETS,
    constants::Constants,
    paint::{BLUE, FAINT, GRID, INK, ORANGE, PAPER, font, power_of_ten},
    pushes::LISTENERS,
    show::plain,
};

/// In pixels, about the width of a page.
const WIDTH: u32 = 860;
const HEIGHT: u32 = 330;

const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const PURPLE: RGBColor = RGBColor(0xb0, 0x3a, 0x8c);

type Drawn = Result<(), Box<dyn Error>>;

struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

struct Panel {
    title: &'static str,
    across: (&'static str, Range<f64>),
    up: (Range<f64>, fn(&f64) -> String),
    lines: Vec<Line>,
}

pub(crate) fn draw(path: &Path, measured: &Measured) -> Drawn {
    let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&PAPER)?;
    for (area, panel) in root
        .split_evenly((1, 2))
        .iter()
        .zip([pushes(measured), evens(measured)])
    {
        draw_panel(area, &panel)?;
    }
    root.present()?;
    Ok(())
}

fn pushes(measured: &Measured) -> Panel {
    let lines = [
        ("a write, 1 a turn", "a write a turn", ORANGE),
        ("… 10 a turn", "of 10 a turn", PURPLE),
        ("… 100 a turn", "of 100 a turn", GREEN),
        ("hit", "hit", BLUE),
    ];
    let lines = lines.into_iter().map(|(of, name, colour)| {
        let change = measured.changes.iter().find(|change| change.name == of);
        let cpu = change.expect("it was measured").cpu;
        let points = LISTENERS.into_iter().zip(cpu);
        // A logarithmic axis has no zero.
        let points = points.filter(|(listeners, _)| *listeners > 0);
        Line {
            name,
            colour,
            points: points
                .map(|(listeners, cpu)| (listeners.into(), cpu / 1e6))
                .collect(),
        }
    });
    Panel {
        title: "What a write and a hit cost the server",
        across: ("listeners", 1.0..300.0),
        up: (1e-6..1e-2, |seconds| power_of_ten(*seconds)),
        lines: lines.collect(),
    }
}

fn evens(measured: &Measured) -> Panel {
    let constants = Constants::of(measured);
    let lines = [
        ("for the server", constants.server_even(), BLUE),
        ("with shared requests", constants.shared_even(), GREEN),
        ("for a process", constants.process_even(), ORANGE),
    ];
    let lines = lines.into_iter().map(|(name, reads, colour)| Line {
        name,
        colour,
        points: FLEETS
            .map(|processes| (processes, processes * reads))
            .into(),
    });
    Panel {
        title: "Near cache, break-even: reads per write",
        across: ("processes", 1.0..1_000.0),
        up: (1.0..10_000.0, |reads| plain(reads.round())),
        lines: lines.collect(),
    }
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Drawn {
    let title = font(14).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(panel.title, (76, 12), title))?;
    let mut x = 76;
    for line in &panel.lines {
        area.draw(&Rectangle::new(
            [(x, 38), (x + 10, 44)],
            line.colour.filled(),
        ))?;
        area.draw(&Text::new(line.name, (x + 14, 34), font(12).color(&INK)))?;
        // The average width of a letter, about.
        x += 26 + 6 * i32::try_from(line.name.len())?;
    }
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(24)
        .margin_top(56)
        .margin_bottom(8)
        .x_label_area_size(34)
        .y_label_area_size(56)
        .build_cartesian_2d(
            panel.across.1.clone().log_scale(),
            panel.up.0.clone().log_scale(),
        )?;
    chart
        .configure_mesh()
        .axis_style(FAINT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(font(12).color(&FAINT))
        .x_desc(panel.across.0)
        .x_label_formatter(&|count| plain(count.round()))
        .y_label_formatter(&panel.up.1)
        .y_labels(5)
        .draw()?;
    for line in &panel.lines {
        let stroke = line.colour.stroke_width(2);
        chart.draw_series(LineSeries::new(line.points.clone(), stroke))?;
        let circles = line
            .points
            .iter()
            .map(|point| Circle::new(*point, 3, line.colour.filled()));
        chart.draw_series(circles)?;
    }
    Ok(())
}
