//! The figures as a table.

use indicatif::HumanCount;

use crate::{
    args::Args,
    page::{Page, duration},
    scenario::Scenario,
    servers::Servers,
    tally::Counts,
};

/// The width of the longest label and a gap.
const LABEL: usize = 30;

pub(crate) fn heading(args: &Args, servers: &Servers) -> Page {
    let mut page = Page::new(LABEL);
    page.row("PostgreSQL", &servers.version);
    page.row("Replica", &format!("applies {} late", duration(args.lag())));
    page.row("Cache", &format!("in Redis, TTL {}", duration(args.ttl())));
    page.line("");
    page.cells(
        "",
        &[
            "reads",
            "writes",
            "stale",
            "a million",
            "longest",
            "replica",
            "primary",
        ],
    );
    page
}

pub(crate) fn line(scenario: Scenario, counts: &Counts) -> Page {
    let mut page = Page::new(LABEL);
    let longest = if counts.stale == 0 {
        "-".to_owned()
    } else {
        duration(counts.longest)
    };
    page.cells(
        scenario.name(),
        &[
            &count(counts.reads),
            &count(counts.writes),
            &count(counts.stale),
            &count(counts.stale_per_million()),
            &longest,
            &count(counts.replica_loads),
            &count(counts.primary_loads),
        ],
    );
    page
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

pub(crate) fn footnote(args: &Args) -> Page {
    let mut page = Page::new(LABEL);
    page.line("");
    page.line("stale      reads that found an older record than the one whose write had ended before they began:");
    page.line("           with its invalidation, or, of a killed writer, with its commit");
    page.line("longest    how long after that end an old record was still read");
    page.line("replica, primary   loads from each of them");
    page.line("");
    page.row("Plot", &args.plot.display().to_string());
    page
}
