//! Draws the runs: when reads were slow, in one panel for each run, all with the same axes.

use std::{error::Error, ops::Range, path::Path};

use plotters::{
    coord::{Shift, combinators::LogCoord, types::RangedCoordf64},
    prelude::*,
};

use crate::{
    outcome::{Outcome, float},
    page::duration,
    paint::{BLUE, FAINT, GRID, INK, ORANGE, PAPER, font, power_of_ten},
    plan::{How, Plan, Read},
};

/// In pixels, about the width of a page.
const WIDTH: u32 = 860;
/// The title and the legend.
const HEAD: u32 = 84;
const PANEL: u32 = 118;
/// A panel's title above it.
const TITLE: i32 = 26;
/// The axis below the last one.
const FOOT: u32 = 44;

/// The slowest read of each bucket is shown. A bucket is four pixels wide.
const BUCKETS: usize = 200;

const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const PURPLE: RGBColor = RGBColor(0xb0, 0x3a, 0x8c);

type Drawn<T> = Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, LogCoord<f64>>>;

/// The state of the reads that did not load, during one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Served,
    Waited,
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    kind: Kind,
    /// In seconds.
    slowest: f64,
    has_stale: bool,
}

pub(crate) fn draw(path: &Path, plan: &Plan, outcomes: &[Outcome]) -> Drawn<()> {
    let panels = u32::try_from(outcomes.len())?;
    let size = (WIDTH, HEAD + panels * PANEL + FOOT);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&PAPER)?;
    let (head, mut rest) = root.split_vertically(HEAD);
    draw_head(&head, plan)?;
    let latencies = latencies(outcomes);
    for (number, outcome) in outcomes.iter().enumerate() {
        let is_last = number + 1 == outcomes.len();
        let height = if is_last { PANEL + FOOT } else { PANEL };
        let (panel, below) = rest.split_vertically(height);
        rest = below;
        draw_panel(&panel, plan, outcome, &latencies, is_last)?;
    }
    root.present()?;
    Ok(())
}

/// The title, and the meaning of the colours.
fn draw_head(area: &Area<'_>, plan: &Plan) -> Drawn<()> {
    let title = font(18).style(FontStyle::Bold).color(&INK);
    let text = format!(
        "How long {} readers of one record wait: fresh for {}, loaded in {}",
        plan.readers(),
        duration(plan.ttl),
        duration(plan.load)
    );
    area.draw(&Text::new(text, (24, 16), title))?;
    let bars = [
        (24, BLUE, "from Redis"),
        (122, ORANGE, "waited for a load"),
        (268, PURPLE, "got an error"),
        (379, GREEN, "stale answers"),
        (498, GRID, "primary down"),
    ];
    for (x, color, text) in bars {
        area.draw(&Rectangle::new([(x, 53), (x + 14, 63)], color.filled()))?;
        area.draw(&Text::new(text, (x + 20, 51), font(14).color(&INK)))?;
    }
    for (x, is_filled, text) in [(622, true, "who loads"), (716, false, "… in vain")] {
        area.draw(&Circle::new((x, 58), 4, dot(is_filled)))?;
        area.draw(&Text::new(text, (x + 12, 51), font(14).color(&INK)))?;
    }
    Ok(())
}

fn dot(is_filled: bool) -> ShapeStyle {
    if is_filled {
        INK.filled()
    } else {
        INK.stroke_width(1)
    }
}

fn draw_panel(
    area: &Area<'_>,
    plan: &Plan,
    outcome: &Outcome,
    latencies: &Range<f64>,
    is_last: bool,
) -> Drawn<()> {
    let title = font(14).style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(title_of(outcome), (80, 6), title))?;
    let time = plan.time.as_secs_f64();
    let mut chart = ChartBuilder::on(area)
        .margin_left(16)
        .margin_right(24)
        .margin_top(TITLE)
        .margin_bottom(6)
        .x_label_area_size(if is_last { FOOT } else { 0 })
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..time, latencies.clone().log_scale())?;
    if outcome.run.is_failing() {
        draw_outage(&mut chart, plan, latencies)?;
    }
    let mut mesh = chart.configure_mesh();
    mesh.axis_style(FAINT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(font(13).color(&FAINT))
        .y_desc("slowest read")
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_label_formatter(&|seconds| power_of_ten(*seconds));
    if is_last {
        mesh.x_desc("time since the run began, in seconds");
    }
    mesh.draw()?;
    draw_buckets(&mut chart, plan, outcome, latencies)?;
    draw_loads(&mut chart, outcome)
}

fn title_of(outcome: &Outcome) -> String {
    let title = outcome.run.title();
    let waited = match outcome.count(Read::has_waited) {
        0 => "nobody waited".to_owned(),
        waited => format!("{waited} times somebody waited"),
    };
    match outcome.count(|read| read.has(How::Failed)) {
        0 => format!("{title}: {waited}"),
        errors => format!("{title}: {waited}, {errors} errors"),
    }
}

fn draw_outage(chart: &mut Chart<'_, '_>, plan: &Plan, latencies: &Range<f64>) -> Drawn<()> {
    let (from, to) = plan.outage();
    let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
    let corners = [(from, latencies.start), (to, latencies.end)];
    chart.draw_series([Rectangle::new(corners, GRID.filled())])?;
    Ok(())
}

fn draw_buckets(
    chart: &mut Chart<'_, '_>,
    plan: &Plan,
    outcome: &Outcome,
    latencies: &Range<f64>,
) -> Drawn<()> {
    let buckets = buckets(plan, outcome);
    let width = plan.time.as_secs_f64() / float(BUCKETS);
    let mut first = 0;
    for stretch in buckets.chunk_by(|one, next| one.map(|it| it.kind) == next.map(|it| it.kind)) {
        let color = stretch[0].map(|bucket| match bucket.kind {
            Kind::Served => BLUE,
            Kind::Waited => ORANGE,
            Kind::Failed => PURPLE,
        });
        if let Some(color) = color {
            let ends = [first, first + stretch.len()].map(|number| width * float(number));
            let mut outline = vec![(ends[1], latencies.start), (ends[0], latencies.start)];
            let mut height = latencies.start;
            for (number, bucket) in (first..).zip(stretch.iter().flatten()) {
                let next = rounded(bucket.slowest).max(latencies.start);
                // Compared after rounding.
                if next.to_bits() != height.to_bits() {
                    let at = width * float(number);
                    outline.extend([(at, height), (at, next)]);
                    height = next;
                }
            }
            outline.push((ends[1], height));
            chart.draw_series([Polygon::new(outline, color.filled())])?;
        }
        first += stretch.len();
    }
    draw_stale(chart, &buckets, width, latencies)
}

/// Draws a strip at the bottom for each time with stale reads.
fn draw_stale(
    chart: &mut Chart<'_, '_>,
    buckets: &[Option<Bucket>],
    width: f64,
    latencies: &Range<f64>,
) -> Drawn<()> {
    let has_stale = |bucket: &Option<Bucket>| bucket.is_some_and(|bucket| bucket.has_stale);
    // An eighth of the height.
    let top = latencies.start * (latencies.end / latencies.start).powf(0.125);
    let mut first = 0;
    for stretch in buckets.chunk_by(|one, next| has_stale(one) == has_stale(next)) {
        if has_stale(&stretch[0]) {
            let ends = [first, first + stretch.len()].map(|number| width * float(number));
            let corners = [(ends[0], latencies.start), (ends[1], top)];
            chart.draw_series([Rectangle::new(corners, GREEN.filled())])?;
        }
        first += stretch.len();
    }
    Ok(())
}

fn draw_loads(chart: &mut Chart<'_, '_>, outcome: &Outcome) -> Drawn<()> {
    let loads = outcome.loads().into_iter();
    let since = loads.filter(|(read, _)| read.began >= outcome.start);
    let loads = since.map(|(read, load)| {
        let at = load.began.since(outcome.start).as_secs_f64();
        Circle::new((at, read.took().as_secs_f64()), 3, dot(load.succeeded))
    });
    chart.draw_series(loads)?;
    Ok(())
}

/// Rounds up to the next eighth of a power of ten, which is two pixels. Equal heights then take no
/// room in the file.
fn rounded(seconds: f64) -> f64 {
    10_f64.powf((seconds.log10() * 8.0).ceil() / 8.0)
}

/// The buckets of a run; `None` for a bucket without reads.
fn buckets(plan: &Plan, outcome: &Outcome) -> Vec<Option<Bucket>> {
    let mut buckets = vec![None; BUCKETS];
    for read in outcome.reads().filter(|read| read.load.is_none()) {
        let since = read.began.since(outcome.start).as_nanos() * BUCKETS as u128;
        let number = usize::try_from(since / plan.time.as_nanos()).unwrap_or(usize::MAX);
        let Some(bucket) = buckets.get_mut(number) else {
            continue;
        };
        let bucket = bucket.get_or_insert(Bucket {
            kind: Kind::Served,
            slowest: 0.0,
            has_stale: false,
        });
        bucket.kind = bucket.kind.max(kind(read));
        bucket.slowest = bucket.slowest.max(read.took().as_secs_f64());
        bucket.has_stale |= read.has(How::Stale);
    }
    buckets
}

fn kind(read: &Read) -> Kind {
    match read.how {
        How::Failed => Kind::Failed,
        How::Waited => Kind::Waited,
        _ => Kind::Served,
    }
}

/// The range in seconds: from the power of ten below half of all reads to the one above the
/// slowest.
fn latencies(outcomes: &[Outcome]) -> Range<f64> {
    let powers = |share| {
        let seconds = outcomes
            .iter()
            .map(move |outcome| outcome.quantile(share).as_secs_f64());
        // If there were no reads, there are no times.
        seconds.map(|seconds| seconds.max(1e-9).log10())
    };
    let least = powers(0.5).fold(0.0, f64::min);
    let most = powers(1.0).fold(least, f64::max);
    10_f64.powf(least.floor())..10_f64.powf(most + 0.2)
}
