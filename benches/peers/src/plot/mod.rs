//! The pictures. This crate has one strong colour, the peers have muted ones, and names are beside
//! the bars and lines.

mod bars;
mod canvas;
mod lines;

use std::{error::Error, path::Path};

use crate::{
    figure, paint,
    peer::Maker,
    results::Results,
    spread::Spread,
    work::{stampede, threads},
};
use bars::{Bar, Panel};
use lines::Line;

type Outcome = Result<(), Box<dyn Error>>;

/// Draws all pictures into a folder.
pub(crate) fn draw(folder: &Path, results: &Results) -> Outcome {
    calls(&folder.join("peers-calls.svg"), results)?;
    let few = results
        .many_threads
        .few
        .first()
        .map_or(0, |figures| figures.cell.connections);
    lines::draw(
        &folder.join("peers-threads.svg"),
        &format!("Hits a second, on a pool of {few} connections: more is better"),
        &figure::whole,
        &lines_of(results, |figures, index| &figures.per_second[index]),
    )?;
    lines::draw(
        &folder.join("peers-tail.svg"),
        &format!(
            "99 % of hits are answered within, on a pool of {few} connections: less is better"
        ),
        &paint::power_of_ten,
        &lines_of(results, |figures, index| &figures.quantiles[1][index]),
    )?;
    if let Some(figures) = results.stampedes.figures.last() {
        stampede(
            &folder.join("peers-stampede.svg"),
            &results.stampedes.makers,
            figures,
        )?;
    }
    Ok(())
}

fn lines_of(
    results: &Results,
    samples: impl Fn(&threads::Figures, usize) -> &Vec<f64>,
) -> Vec<Line> {
    let line = |(index, maker): (usize, &&'static Maker)| {
        let point = |figures: &threads::Figures| {
            let median = Spread::of(samples(figures, index)).median;
            (figures.cell.threads, median)
        };
        Line {
            name: maker.name,
            points: results.many_threads.few.iter().map(point).collect(),
        }
    };
    results
        .many_threads
        .makers
        .iter()
        .enumerate()
        .map(line)
        .collect()
}

fn calls(path: &Path, results: &Results) -> Outcome {
    let panels = results.calls.figures.iter().map(|figures| {
        let bars = results
            .calls
            .makers
            .iter()
            .zip(&figures.seconds)
            .zip(&figures.one_by_one);
        let bars = bars.filter_map(|((maker, samples), one_by_one)| {
            let median = Spread::of(samples.as_ref()?).median;
            let one_by_one = if *one_by_one { ", one by one" } else { "" };
            Some(Bar {
                name: maker.name,
                value: median,
                label: format!("{}{one_by_one}", figure::time(median)),
            })
        });
        Panel::new(figures.call.name().to_owned(), bars.collect())
    });
    bars::draw_stacked(
        path,
        "Time of a call, one thread: less is better (each step ten times the last)",
        &panels.collect::<Vec<_>>(),
    )
}

fn stampede(path: &Path, herd: &[&'static Maker], figures: &stampede::Figures) -> Outcome {
    let panel = |head: &str, samples: &[Vec<f64>], text: &dyn Fn(f64) -> String| {
        let bars = herd.iter().zip(samples).map(|(maker, samples)| {
            let value = Spread::of(samples).median;
            Bar {
                name: maker.name,
                value,
                label: text(value),
            }
        });
        Panel::new(head.to_owned(), bars.collect())
    };
    let threads = figure::whole(figures.threads.into());
    bars::draw_side_by_side(
        path,
        &format!(
            "{threads} threads want one cold record: less is better (each step ten times the last)"
        ),
        &[
            panel("reads of the primary", &figures.loads, &figure::whole),
            panel("all answered after", &figures.seconds, &figure::time),
        ],
    )
}
