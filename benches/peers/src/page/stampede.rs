//! The part about stampedes: the number of loads, and the time until all are answered.

use super::table::Table;
use crate::{
    figure,
    results::Results,
    spread::Spread,
    standing::{Wins, sentence},
    work::stampede::LOAD,
};

pub(super) fn section(results: &Results) -> String {
    let heads: Vec<_> = results
        .stampedes
        .figures
        .iter()
        .flat_map(|figures| {
            let threads = figure::whole(figures.threads.into());
            [
                format!("{threads} threads: loads"),
                "all answered after".to_owned(),
            ]
        })
        .collect();
    let mut table = Table::new(&heads);
    for (index, maker) in results.stampedes.makers.iter().enumerate() {
        let cells = results.stampedes.figures.iter().flat_map(|figures| {
            let loads = figure::count(Spread::of(&figures.loads[index]));
            let seconds = Spread::of(&figures.seconds[index]);
            let [low, median, high] = [seconds.low, seconds.median, seconds.high].map(figure::time);
            [Some(loads), Some(format!("{median} ({low}–{high})"))]
        });
        table.row(maker.name, cells);
    }
    let mut text = format!(
        "## A stampede on a cold record

![Loads of a stampede of many threads, and when all of them were answered](peers-stampede.svg)

Of one process, with a primary that takes {} and serves any number at once: a real one has less patience with those who \
load often. {}

{}
",
        figure::time(LOAD.as_secs_f64()),
        "quick_cache and moka protect one process, and know nothing of others.",
        table.finish()
    );
    for figures in &results.stampedes.figures {
        for (what, samples, wins) in [
            ("loads", &figures.loads, Wins::Smaller),
            ("all answered", &figures.seconds, Wins::Smaller),
        ] {
            let entries: Vec<_> = results
                .stampedes
                .makers
                .iter()
                .zip(samples)
                .map(|(maker, samples)| (maker.name, samples))
                .collect();
            let what = format!("{} threads, {what}", figure::whole(figures.threads.into()));
            text.push_str(&sentence(&what, &entries, wins));
            text.push('\n');
        }
    }
    text
}
