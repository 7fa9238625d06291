//! The figures as a table.

use indicatif::{HumanBytes, HumanCount, HumanFloatCount};

use crate::{
    args::Args,
    figures::{Figures, How, Latencies},
    page::{Page, duration},
    shop::Shop,
    store::Chosen,
};

/// The width of the longest label and a gap.
const LABEL: usize = 22;

/// The results of a run.
pub(crate) struct Comparison {
    pub(crate) without: Figures,
    pub(crate) with: Figures,
    /// In the last fifth of the reads, when the cache is warm.
    pub(crate) late_hit_rate: f64,
    pub(crate) single_rows: Latencies,
}

impl Comparison {
    pub(crate) fn stale(&self) -> u64 {
        self.without.stale + self.with.stale
    }
}

/// The description of the run that starts.
pub(crate) fn heading(args: &Args, shop: &Shop, chosen: &Chosen, seed: u64) -> Page {
    let mut page = Page::new(LABEL);
    let (rows, bytes) = (count(args.rows.into()), HumanBytes(shop.bytes));
    page.row(
        "Shop",
        &format!("{rows} products, {bytes}, {}", shop.history),
    );
    page.row("", &shop.path.display().to_string());
    let (writes, skew) = (args.writes, args.skew);
    let threads = match args.threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    page.row(
        "Load",
        &format!("{threads}, {writes} % writes, Zipf exponent {skew}, seed {seed}"),
    );
    let ttl = args.ttl().as_secs();
    let forget = if args.forget {
        ", not told of writes"
    } else {
        ""
    };
    page.row("Cache", &format!("{}, TTL {ttl} s{forget}", chosen.place));
    page.row("", &format!("({})", chosen.other));
    page
}

/// The results.
pub(crate) fn report(args: &Args, outcome: &Comparison) -> Page {
    let mut page = Page::new(LABEL);
    page.line("");
    totals(&mut page, outcome);
    page.line("");
    latencies(&mut page, outcome);
    page.line("");
    in_hits(&mut page, outcome);
    let Comparison { without, with, .. } = outcome;
    let checked = without.reads().count() + with.reads().count();
    page.row(
        "Stale reads",
        &format!("{} of {}", count(outcome.stale()), count(checked)),
    );
    for example in [&without.example, &with.example].into_iter().flatten() {
        page.row("", &format!("the first: {example}"));
    }
    page.row("Plot", &args.plot.display().to_string());
    page
}

fn totals(page: &mut Page, outcome: &Comparison) {
    let Comparison { without, with, .. } = outcome;
    page.cells("", &["SQLite", "with cache"]);
    let mut row = |label, figure: fn(&Figures) -> String| {
        page.cells(label, &[&figure(without), &figure(with)]);
    };
    row("Time", |side| duration(side.time));
    row("Reads", |side| count(side.reads().count()));
    row("  a second", |side| {
        format!("{:.0}", HumanFloatCount(side.reads_a_second()))
    });
    row("  from SQLite", |side| count(side.primary_reads));
    page.cells("  hit rate", &["", &percent(with.hit_rate())]);
    page.cells(
        "  in the last fifth",
        &["", &percent(outcome.late_hit_rate)],
    );
}

fn latencies(page: &mut Page, outcome: &Comparison) {
    let Comparison { without, with, .. } = outcome;
    page.cells("", &["count", "p50", "p99", "p99.9", "max"]);
    latency(page, "Reads, SQLite", &without.reads());
    latency(page, "Reads, with cache", &with.reads());
    for (how, label) in [
        (How::Hit, "  hit"),
        (How::Loaded, "  loaded"),
        (How::Waited, "  waited"),
        (How::Degraded, "  degraded"),
    ] {
        if let Some(some) = with.reads_by(how) {
            latency(page, label, some);
        }
    }
    latency(page, "Writes, SQLite", &without.writes);
    latency(page, "Writes, with cache", &with.writes);
    latency(page, "One row by its key", &outcome.single_rows);
}

/// A line, if there are any reads of this kind.
fn latency(page: &mut Page, label: &str, latencies: &Latencies) {
    if latencies.count() == 0 {
        return;
    }
    let [p50, p99, p999, max] =
        [0.5, 0.99, 0.999, 1.0].map(|share| duration(latencies.quantile(share)));
    page.cells(label, &[&count(latencies.count()), &p50, &p99, &p999, &max]);
}

/// The cost of asking the cache instead.
fn in_hits(page: &mut Page, outcome: &Comparison) {
    let Some(hits) = outcome.with.reads_by(How::Hit) else {
        return;
    };
    let hit = hits.quantile(0.5).as_secs_f64();
    let mut row = |label, latencies: &Latencies| {
        let ratio = latencies.quantile(0.5).as_secs_f64() / hit;
        page.row(label, &format!("takes as long as {ratio:.2} hits (p50)"));
    };
    row("A product from SQLite", &outcome.without.reads());
    row("One row by its key", &outcome.single_rows);
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// `95,012`
fn count(number: u64) -> String {
    HumanCount(number).to_string()
}
