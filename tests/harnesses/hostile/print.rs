//! Prints a run as text.

use indicatif::HumanCount;

use crate::{
    args::Args,
    cases::Table,
    fuzz_run,
    page::{Page, duration},
    points::TOPOLOGIES,
    points_run,
    tally::{Fault, Tally},
};

/// The width of the longest label and a gap.
const LABEL: usize = 26;

/// How much memory may grow, in bytes.
const MOST_GROWTH: u64 = 64 << 20;

const FAULTS: [(Fault, &str); 6] = [
    (Fault::Late, "Past their bound"),
    (Fault::Busy, "Too many requests"),
    (Fault::Unanswered, "Unanswered"),
    (Fault::Stale, "Stale"),
    (Fault::Foreign, "Foreign"),
    (Fault::Forged, "Forged"),
];

/// Whether a run shows no fault of the cache.
pub(crate) fn is_clean(tally: &Tally, panics: u64, growth: u64) -> bool {
    let violations = FAULTS.iter().filter(|(fault, _)| fault.is_violation());
    let violations = violations
        .map(|(fault, _)| tally.count(*fault))
        .sum::<u64>();
    violations + panics == 0 && growth < MOST_GROWTH
}

/// The names of points, replies and topologies.
pub(crate) fn list() -> Page {
    let mut page = Page::new(LABEL);
    let table = Table::new();
    page.line("Points:");
    for point in &table.points {
        page.line(&format!("  {}", point.name));
    }
    page.line("Replies:");
    for reply in &table.replies {
        page.line(&format!("  {}", reply.name));
    }
    page.line("Topologies:");
    for topology in TOPOLOGIES {
        page.line(&format!("  {}", topology.name()));
    }
    page
}

pub(crate) fn points(args: &Args, outcome: &points_run::Outcome) -> Page {
    let mut page = Page::new(LABEL);
    let table = Table::new();
    let (points, replies) = (table.points.len(), table.replies.len());
    page.row(
        "Points",
        &format!("{points}, and {replies} wrong replies to each"),
    );
    let seconds = outcome.time.as_secs_f64();
    page.row(
        "Cases",
        &format!("{} in {seconds:.1} s", count(outcome.cases as u64)),
    );
    page.row("  failed", &outcome.failed.to_string());
    let unreached: Vec<_> = outcome.unreached.iter().copied().collect();
    page.row(
        "  not reached",
        &if unreached.is_empty() {
            "none".to_owned()
        } else {
            unreached.join(", ")
        },
    );
    page.row("  most requests", &count(outcome.most_requests as u64));
    common(
        &mut page,
        args,
        (&outcome.tally, outcome.panics, outcome.growth),
    );
    page
}

pub(crate) fn fuzz(args: &Args, outcome: &fuzz_run::Outcome) -> Page {
    let mut page = Page::new(LABEL);
    for violation in outcome.tally.violations() {
        page.line(&violation);
    }
    let seconds = outcome.time.as_secs_f64();
    page.row(
        "Replies",
        &format!("{} in {seconds:.1} s", count(outcome.replies)),
    );
    let mutated: u64 = outcome.mutated.iter().map(|(_, count)| count).sum();
    page.row("  mutated", &count(mutated));
    for (mutation, mutated) in &outcome.mutated {
        let label = format!("    {mutation:?}").to_lowercase();
        page.row(&label, &count(*mutated));
    }
    let (noticed, missed) = (outcome.noticed, outcome.missed.values().sum::<u64>());
    let tenths = (noticed * 1000) / (noticed + missed).max(1);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let all = noticed + missed;
    page.row(
        "Duplicates noticed",
        &format!("{noticed} of {all}, {whole}.{tenth} %"),
    );
    for (point, count) in &outcome.missed {
        page.row("  missed", &format!("{count} at {point}"));
    }
    common(
        &mut page,
        args,
        (&outcome.tally, outcome.panics, outcome.growth),
    );
    page
}

fn common(page: &mut Page, args: &Args, (tally, panics, growth): (&Tally, u64, u64)) {
    page.row("Calls", &count(tally.calls()));
    for (call, longest) in tally.longest() {
        page.row(&format!("  longest {call}"), &duration(longest));
    }
    page.row("Panics", &panics.to_string());
    for (fault, label) in FAULTS {
        page.row(label, &count(tally.count(fault)));
    }
    page.row("Memory grew by", &format!("{} MB", growth >> 20));
    page.row("Seed", &args.seed.to_string());
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}
