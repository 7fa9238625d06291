//! The figures as a table.

use indicatif::HumanCount;

use crate::{
    args::Args,
    invariants,
    outcome::Outcome,
    page::{Page, duration},
    plan::{How, Plan, Read},
};

/// The width of the longest label and a gap.
const LABEL: usize = 22;

/// The description of the runs that start.
pub(crate) fn heading(plan: &Plan, server: &str) -> Page {
    let mut page = Page::new(LABEL);
    let (readers, processes) = (plan.readers(), plan.processes);
    let threads = plan.threads;
    page.row(
        "Readers",
        &format!("{readers} ({processes} processes × {threads} threads) of one record"),
    );
    page.row("Reads", &format!("{} a second", count(plan.reads as usize)));
    let (ttl, load) = (duration(plan.ttl), duration(plan.load));
    page.row("Record", &format!("fresh for {ttl}, loaded in {load}"));
    page.row(
        "Runs",
        &format!("{}, each {}", plan.runs.len(), duration(plan.time)),
    );
    if let Some(rule) = plan.broken {
        let rule = format!("{rule:?} may refresh").to_lowercase();
        page.row("Broken on purpose", &rule);
    }
    page.row("Redis", server);
    page
}

/// The results, and the broken invariants.
pub(crate) fn report(args: &Args, plan: &Plan, outcomes: &[Outcome], flaws: &[Flaw]) -> Page {
    let mut page = Page::new(LABEL);
    page.line("");
    row(&mut page, outcomes, "", |it| it.run.name().to_owned());
    row(&mut page, outcomes, "", |it| {
        if it.run.is_failing() { "failing" } else { "" }.to_owned()
    });
    counts(&mut page, plan, outcomes);
    page.line("");
    row(&mut page, outcomes, "Slowest non-loader", |it| {
        duration(it.slowest_other())
    });
    for (label, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        row(&mut page, outcomes, label, |it| {
            duration(it.quantile(share))
        });
    }
    page.line("");
    page.row("Plot", &args.plot.display().to_string());
    match flaws {
        [] => page.row("Kept", "what is promised of each"),
        flaws => {
            for (run, flaw) in flaws {
                page.row("Broken", &format!("{run}: {flaw}"));
            }
        }
    }
    page
}

/// A broken invariant: the name of the run, and what is wrong.
pub(crate) type Flaw = (&'static str, String);

fn counts(page: &mut Page, plan: &Plan, outcomes: &[Outcome]) {
    let number = |outcome: &Outcome, is_counted: &dyn Fn(&Read) -> bool| {
        count(outcome.count(|read| is_counted(read)))
    };
    row(page, outcomes, "Reads", |it| number(it, &|_| true));
    row(page, outcomes, "Loads", |it| {
        count(it.loads_since_start(|_| true))
    });
    row(page, outcomes, "  that failed", |it| {
        count(it.loads_since_start(|load| !load.succeeded))
    });
    row(page, outcomes, "  per TTL", |it| {
        ratio(it.loads_per_ttl(plan))
    });
    row(page, outcomes, "    allowed", |it| {
        ratio(invariants::most_loads_per_ttl(plan, it))
    });
    row(page, outcomes, "  at the same time", |it| {
        count(it.loads_at_once())
    });
    row(page, outcomes, "Waited for a load", |it| {
        number(it, &Read::has_waited)
    });
    let late = format!("Took over {}", duration(plan.load / 2));
    row(page, outcomes, &late, |it| {
        number(it, &|read| read.is_late(plan))
    });
    row(page, outcomes, "Stale answers", |it| {
        number(it, &|read| read.has(How::Stale))
    });
    row(page, outcomes, "Errors", |it| {
        number(it, &|read| read.has(How::Failed))
    });
}

fn row(page: &mut Page, outcomes: &[Outcome], label: &str, figure: impl Fn(&Outcome) -> String) {
    let figures: Vec<_> = outcomes.iter().map(figure).collect();
    let cells: Vec<_> = figures.iter().map(String::as_str).collect();
    page.cells(label, &cells);
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// `95,012`
fn count(number: usize) -> String {
    HumanCount(number as u64).to_string()
}
