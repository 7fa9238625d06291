//! What is printed: the counts, the verdict, and a picture of the first lookups that are refuted.

use std::time::Duration;

use crate::{
    args::Args,
    judge::{Fault, Moment, Refutation, line::Line, merge::Gaps},
    page::{self, Page},
};

/// The width of a bar in a picture.
const WIDTH: u64 = 40;

/// What was found in a trace.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) lines: u64,
    pub(crate) processes: u64,
    pub(crate) first: Option<u64>,
    pub(crate) last: u64,
    pub(crate) slack: u64,
    pub(crate) gaps: Gaps,
    pub(crate) counts: crate::judge::Counts,
    /// Lookups that are refuted whatever is missing.
    pub(crate) refuted: u64,
    pub(crate) shown: Vec<Found>,
    /// The most items that the judge has kept, and the most lines that have waited.
    pub(crate) most_kept: usize,
    pub(crate) most_waiting: usize,
}

pub(crate) struct Found {
    pub(crate) refutation: Refutation,
    /// Whether something is missing that could explain the lookup.
    pub(crate) has_gap: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    Refuted,
    Incomplete,
}

impl Checked {
    pub(crate) fn verdict(&self) -> Verdict {
        if self.refuted > 0 && self.gaps.after_close == 0 {
            Verdict::Refuted
        } else if self.gaps.any() || self.counts.judged == 0 {
            Verdict::Incomplete
        } else {
            Verdict::Holds
        }
    }
}

pub(crate) fn page(args: &Args, checked: &Checked) -> Page {
    let mut page = Page::new(16);
    let trace = args.trace.as_ref();
    let trace = trace.map_or("made up".to_owned(), |path| path.display().to_string());
    page.row("Trace", &trace);
    let took = Duration::from_nanos(checked.last.saturating_sub(checked.first.unwrap_or(0)));
    let took = page::duration(took);
    let processes = checked.processes;
    page.row(
        "Lines",
        &format!("{} in {took}, processes: {processes}", checked.lines),
    );
    let counts = &checked.counts;
    page.row("Lookups judged", &counts.judged.to_string());
    page.row("  near", &counts.near.to_string());
    page.row("  unknown", &counts.unknown.to_string());
    page.row("  degraded", &counts.degraded.to_string());
    page.row("  failed", &counts.failed.to_string());
    page.row("Loads", &counts.loads.to_string());
    page.row(
        "Fills",
        &format!("{}, refused: {}", counts.fills, counts.refused_fills),
    );
    page.row(
        "Invalidations",
        &format!("{}, pending: {}", counts.ends, counts.pending),
    );
    page.row("Kept", &kept(checked));
    page.row("Clocks", &format!("within {} ns", checked.slack));
    add_gaps(&mut page, &checked.gaps);
    page.row("Refuted", &counts.refuted.to_string());
    for found in &checked.shown {
        add_picture(&mut page, found);
    }
    page.row(
        "Verdict",
        &match checked.verdict() {
            Verdict::Holds => holds(counts.unknown),
            Verdict::Refuted => "refuted: see the lookups above".to_owned(),
            Verdict::Incomplete if checked.gaps.any() => {
                "incomplete: this trace proves nothing".to_owned()
            }
            Verdict::Incomplete => "incomplete: no lookup could be judged".to_owned(),
        },
    );
    page
}

fn holds(unknown: u64) -> String {
    let but = match unknown {
        0 => String::new(),
        unknown => format!(" (of {unknown} lookups too little is known)"),
    };
    format!(
        "holds: no lookup that was judged was older than an invalidation that had returned{but}"
    )
}

fn kept(checked: &Checked) -> String {
    let (items, lines) = (checked.most_kept, checked.most_waiting);
    let forgotten = checked.counts.forgotten;
    format!("at most {items} items, and {lines} waiting lines; forgotten records: {forgotten}")
}

fn add_gaps(page: &mut Page, gaps: &Gaps) {
    for (what, count) in [
        ("lines that cannot be read", gaps.unreadable),
        ("reports of lost lines", gaps.lost),
        ("reports of events after a close", gaps.after_close),
        ("steps of the system's clock", gaps.steps),
        ("processes that did not close their log", gaps.unclosed),
        ("lines that came too late", gaps.late),
    ] {
        if count > 0 {
            page.row("Missing", &format!("{count} {what}"));
        }
    }
}

fn add_picture(page: &mut Page, found: &Found) {
    let Refutation {
        fault,
        lookup,
        floor,
        loaded,
        moments,
    } = &found.refutation;
    page.line("");
    page.row("Lookup", &of(lookup));
    let what = match fault {
        Fault::Old => "older than an invalidation that had returned",
        Fault::BehindReplica => "from a replica that may lack an invalidation that had returned",
        Fault::Unloaded => "a content that no load has returned",
        Fault::TooLong => "a lookup that took longer than any may",
    };
    page.row("  fault", what);
    if found.has_gap {
        page.row(
            "  but",
            "something is missing before it, which could explain it",
        );
    }
    let zero = lookup.began();
    if *floor > 0 {
        page.row(
            "  must respect",
            &format!("what began at {}", relative(*floor, zero)),
        );
    }
    if let Some(loaded) = loaded {
        page.row("  last loaded", &format!("at {}", relative(*loaded, zero)));
    }
    let answer = Moment {
        what: "lookup",
        began: zero,
        at: lookup.at(),
        hash: lookup.hash,
        process: u32::from_str_radix(&lookup.p, 16).unwrap_or_default(),
    };
    let all = moments.iter().chain([&answer]);
    let (first, last) = all.clone().fold((u64::MAX, 0), |(first, last), it| {
        (first.min(it.began), last.max(it.at))
    });
    for moment in all {
        let mark = if moment.hash == lookup.hash && moment.hash.is_some() {
            '*'
        } else {
            ' '
        };
        let bar = bar(moment, first, last);
        let text = format!(
            "{:>14} |{bar}| {:<22}{mark} process {:08x}",
            relative(moment.began, zero),
            moment.what,
            moment.process,
        );
        page.line(&text);
    }
    page.line("                (* the content that the lookup returned)");
    page.line("");
}

fn of(lookup: &Line) -> String {
    let from = lookup.from.as_deref().unwrap_or("none");
    let hash = lookup
        .hash
        .map_or_else(String::new, |hash| format!(", content {hash:016x}"));
    let tags = if lookup.tags.is_empty() {
        String::new()
    } else {
        format!(", under {}", lookup.tags.join(" "))
    };
    format!("{}, answered from `{from}`{hash}{tags}", lookup.key())
}

/// `-12.345 ms`: how long before (or after) `zero` it was.
fn relative(instant: u64, zero: u64) -> String {
    let sign = if instant < zero { '-' } else { '+' };
    let micros = instant.abs_diff(zero) / 1_000;
    format!("{sign}{}.{:03} ms", micros / 1_000, micros % 1_000)
}

/// From its begin to its end.
fn bar(moment: &Moment, first: u64, last: u64) -> String {
    let all = last.saturating_sub(first).max(1);
    let column = |instant: u64| {
        let share = u128::from(instant.saturating_sub(first)) * u128::from(WIDTH - 1);
        u64::try_from(share / u128::from(all)).unwrap_or(WIDTH - 1)
    };
    let (from, to) = (column(moment.began), column(moment.at));
    let cell = |at| {
        if at == from || at == to {
            '|'
        } else if at > from && at < to {
            '-'
        } else {
            ' '
        }
    };
    (0..WIDTH).map(cell).collect()
}
