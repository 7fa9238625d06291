//! Draws the latencies: the fraction of reads that are answered within each time.

use std::{ops::Range, path::Path, time::Duration};

use plotters::{
    coord::{Shift, combinators::LogCoord, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    Outcome,
    figures::{Figures, Latencies},
    page::duration,
    paint::{BLUE, FAINT, GRID, INK, ORANGE, PAPER, font, power_of_ten},
};

/// In pixels, about the width of a page.
const SIZE: (u32, u32) = (860, 470);

/// The height of the title and the legend.
const HEAD: u32 = 96;

/// The points of a curve. They are a few pixels apart, so the curve looks smooth.
const POINTS: i32 = 160;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

struct Curve {
    color: RGBColor,
    name: String,
    latencies: Latencies,
}

pub(crate) fn draw(path: &Path, without: &Figures, with: &Figures) -> Outcome<()> {
    let curves = [
        Curve {
            color: BLUE,
            name: format!(
                "SQLite behind the cache, {:.0} % hits",
                100.0 * with.hit_rate()
            ),
            latencies: with.reads(),
        },
        Curve {
            color: ORANGE,
            name: "SQLite alone".to_owned(),
            latencies: without.reads(),
        },
    ];
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&PAPER)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_head(&head, &curves)?;
    draw_curves(&body, &curves)?;
    root.present()?;
    Ok(())
}

/// The title, and a legend line for each curve, so that no text is among the curves.
fn draw_head(area: &Area<'_>, curves: &[Curve; 2]) -> Outcome<()> {
    let title = font(18).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new("How long a read takes", (24, 18), title))?;
    for (curve, y) in curves.iter().zip([48, 70]) {
        let within = |share| duration(curve.latencies.quantile(share));
        let text = format!(
            "{}: half of all reads within {}, 99 % within {}",
            curve.name,
            within(0.5),
            within(0.99)
        );
        let style = font(15).color(&INK);
        area.draw(&Rectangle::new(
            [(24, y + 5), (46, y + 9)],
            curve.color.filled(),
        ))?;
        area.draw(&Text::new(text, (56, y), style))?;
    }
    Ok(())
}

fn draw_curves(area: &Area<'_>, curves: &[Curve; 2]) -> Outcome<()> {
    let times = times(curves);
    let mut chart = ChartBuilder::on(area)
        .margin_left(16)
        .margin_right(32)
        .margin_bottom(12)
        .margin_top(8)
        .x_label_area_size(48)
        .y_label_area_size(68)
        .build_cartesian_2d(times.clone().log_scale(), 0.0..100.0)?;
    let label = font(14).color(&FAINT);
    chart
        .configure_mesh()
        .axis_style(FAINT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(label.clone())
        .x_desc("time until the answer")
        .y_desc("reads answered by then")
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|seconds| power_of_ten(*seconds))
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .draw()?;
    for curve in curves {
        let points = points(&times).map(|seconds| {
            let share = curve
                .latencies
                .share_within(Duration::from_secs_f64(seconds));
            (seconds, 100.0 * share)
        });
        chart.draw_series(LineSeries::new(points, curve.color.stroke_width(3)))?;
    }
    draw_medians(&mut chart, curves)
}

/// A dot and a figure on each curve. They never overlap a curve, because all curves rise. The
/// figure of the smaller median is above and to the left of its dot, and that of the larger one
/// below and to the right.
fn draw_medians(chart: &mut Chart<'_, '_>, curves: &[Curve; 2]) -> Outcome<()> {
    let mut medians = curves
        .each_ref()
        .map(|curve| (curve.latencies.quantile(0.5), curve.color));
    medians.sort_by_key(|(median, _)| *median);
    let sides = [
        ((-8, -6), Pos::new(HPos::Right, VPos::Bottom)),
        ((8, 6), Pos::new(HPos::Left, VPos::Top)),
    ];
    for ((median, color), (gap, side)) in medians.into_iter().zip(sides) {
        let style = font(15).style(FontStyle::Bold).color(&color).pos(side);
        let mark = EmptyElement::at((median.as_secs_f64(), 50.0))
            + Circle::new((0, 0), 5, color.filled())
            + Text::new(duration(median), gap, style);
        chart.draw_series([mark])?;
    }
    Ok(())
}

/// The range in seconds, between powers of ten that contain nearly all reads.
fn times(curves: &[Curve; 2]) -> Range<f64> {
    let powers = |share| {
        curves.each_ref().map(|curve| {
            let seconds = curve.latencies.quantile(share).as_secs_f64();
            // If there were no reads, there are no times.
            seconds.max(1e-9).log10()
        })
    };
    let least = powers(0.001).into_iter().fold(f64::INFINITY, f64::min);
    let most = powers(0.999).into_iter().fold(least + 1.0, f64::max);
    10_f64.powf(least.floor())..10_f64.powf(most.ceil())
}

/// Points at equal distances on the logarithmic axis.
fn points(times: &Range<f64>) -> impl Iterator<Item = f64> {
    let (start, ratio) = (times.start, times.end / times.start);
    (0..=POINTS).map(move |step| start * ratio.powf(f64::from(step) / f64::from(POINTS)))
}
