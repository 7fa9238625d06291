//! The part about many threads: hits a second, and the time of each.

use super::table::Table;
use crate::{
    figure,
    results::Results,
    spread::Spread,
    standing::{Wins, sentence},
    work::threads::{Figures, QUANTILES},
};

pub(super) fn section(results: &Results) -> String {
    let few = results
        .many_threads
        .few
        .first()
        .map_or(0, |figures| figures.cell.connections);
    let few_connections = part(results, &results.many_threads.few);
    let many_connections = part(results, &results.many_threads.many);
    format!(
        "## Threads

### On a pool of {few} connections

![Hits a second by the number of threads](peers-threads.svg)
![The time within which 99 of 100 hits are answered, by the number of threads](peers-tail.svg)

{few_connections}
### On a pool as large as there are threads

{many_connections}"
    )
}

fn part(results: &Results, cells: &[Figures]) -> String {
    let heads = cells.iter().map(|figures| match figures.cell.threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    });
    let heads: Vec<_> = heads.collect();
    let mut per_second = Table::new(&heads);
    let mut quantiles = Table::new(&heads);
    for (index, maker) in results.many_threads.makers.iter().enumerate() {
        let hits = cells
            .iter()
            .map(|figures| Spread::of(&figures.per_second[index]));
        per_second.row(maker.name, hits.map(|hits| Some(figure::count(hits))));
        let times = cells.iter().map(|figures| {
            let of_each = figures.quantiles.iter();
            let medians = of_each.map(|times| figure::time(Spread::of(&times[index]).median));
            Some(medians.collect::<Vec<_>>().join(" · "))
        });
        quantiles.row(maker.name, times);
    }
    let names = QUANTILES.map(|(name, _)| name).join(" · ");
    let hits = standings(results, cells, Wins::Larger, |figures, index| {
        &figures.per_second[index]
    });
    let tail = standings(results, cells, Wins::Smaller, |figures, index| {
        &figures.quantiles[1][index]
    });
    format!(
        "Hits a second, all threads together:\n\n{}\n{hits}\nOf a single hit {names}:\n\n{}\nBy p99:\n\n{tail}",
        per_second.finish(),
        quantiles.finish()
    )
}

fn standings(
    results: &Results,
    cells: &[Figures],
    wins: Wins,
    samples: impl Fn(&Figures, usize) -> &Vec<f64>,
) -> String {
    let lines = cells.iter().map(|figures| {
        let entries: Vec<_> = results
            .many_threads
            .makers
            .iter()
            .enumerate()
            .map(|(index, maker)| (maker.name, samples(figures, index)))
            .collect();
        sentence(&figures.cell.threads.to_string(), &entries, wins) + "\n"
    });
    lines.collect()
}
