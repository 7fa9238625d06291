//! The part about one thread: time and bytes.

use super::table::Table;
use crate::{
    figure,
    peer::{BARE, QUICK},
    results::Results,
    spread::{Samples, Spread},
    standing::{Wins, sentence},
    work::calls::{Call, Figures},
};

pub(super) fn section(results: &Results) -> String {
    let text = "## One thread\n\n![Time of each call, for each of them](peers-calls.svg)\n";
    format!("{text}\n{}\n{}", times(results), bytes(results))
}

/// The peer that the ratios of this call compare with.
fn base(call: Call) -> &'static str {
    match call {
        Call::Near => QUICK,
        Call::Hit | Call::Miss | Call::Batch => BARE,
    }
}

fn samples_of<'a>(results: &'a Results, figures: &'a Figures, name: &str) -> Option<&'a Samples> {
    let index = results
        .calls
        .makers
        .iter()
        .position(|maker| maker.name == name)?;
    figures.seconds[index].as_ref()
}

fn times(results: &Results) -> String {
    let heads = results
        .calls
        .figures
        .iter()
        .map(|figures| figures.call.name());
    let mut table = Table::new(&heads.collect::<Vec<_>>());
    for (index, maker) in results.calls.makers.iter().enumerate() {
        let cells = results.calls.figures.iter().map(|figures| {
            let samples = figures.seconds[index].as_ref()?;
            let to = samples_of(results, figures, base(figures.call))?;
            let mark = if figures.one_by_one[index] {
                " †"
            } else {
                ""
            };
            let median = figure::time(Spread::of(samples).median);
            let ratio = figure::ratio(Spread::of_ratios(samples, to));
            Some(format!("{median}{mark} · {ratio}"))
        });
        table.row(maker.name, cells);
    }
    let mut text = format!(
        "The time of a call, and its ratio to {BARE}; of a near hit, to {QUICK}. † It has no batches: one by one.\n\n{}\n",
        table.finish()
    );
    for figures in &results.calls.figures {
        let entries: Vec<_> = results
            .calls
            .makers
            .iter()
            .zip(&figures.seconds)
            .filter_map(|(maker, samples)| Some((maker.name, samples.as_ref()?)))
            .collect();
        text.push_str(&sentence(figures.call.name(), &entries, Wins::Smaller));
        text.push('\n');
    }
    text
}

fn bytes(results: &Results) -> String {
    let mut heads: Vec<_> = results
        .calls
        .figures
        .iter()
        .map(|figures| figures.call.name())
        .collect();
    heads.push("kept for a record in the process");
    let mut table = Table::new(&heads);
    for (index, maker) in results.calls.makers.iter().enumerate() {
        let calls = results
            .calls
            .figures
            .iter()
            .map(|figures| figures.bytes[index]);
        let all = calls.chain([results.near_bytes[index]]);
        table.row(maker.name, all.map(|bytes| bytes.map(figure::whole)));
    }
    let mut text = format!(
        "Bytes allocated by a call, in the whole process; and bytes that a record in the process costs, with its share of \
         the map and of what the cache needs besides.\n\n{}\n",
        table.finish()
    );
    for (index, head) in heads.iter().enumerate() {
        let bytes: Vec<Option<Samples>> = (0..results.calls.makers.len())
            .map(|caller| {
                let calls = results
                    .calls
                    .figures
                    .get(index)
                    .map(|figures| figures.bytes[caller]);
                calls
                    .unwrap_or(results.near_bytes[caller])
                    .map(|bytes| vec![bytes])
            })
            .collect();
        let entries: Vec<_> = results
            .calls
            .makers
            .iter()
            .zip(&bytes)
            .filter_map(|(maker, samples)| Some((maker.name, samples.as_ref()?)))
            .collect();
        text.push_str(&sentence(head, &entries, Wins::Smaller));
        text.push('\n');
    }
    text
}
