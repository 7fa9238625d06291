//! Prints the figures as text.

use crate::{
    environment::Commands,
    figures::{Figures, Requests, Spread},
    histogram,
    page::{self, Page},
    plan::{How, Plan, Primary},
};

/// The width of the longest label and a gap.
const LABEL: usize = 28;

/// The description of the run that starts.
pub(crate) fn heading(plan: &Plan, server: &str) -> Page {
    let mut page = Page::new(LABEL);
    let load = plan.load.as_millis();
    let threads = plural(u64::from(plan.threads), "thread");
    let readers = match plan.processes {
        1 => threads,
        n => format!("{} ({n} processes × {threads})", plan.readers()),
    };
    page.row(
        "Readers",
        &format!("{readers}, all asking for one cold key"),
    );
    let rounds = match plan.rounds {
        1 => "1".to_owned(),
        n => format!("{n}, each with another key"),
    };
    page.row("Rounds", &rounds);
    page.row(
        "Primary",
        &match plan.primary {
            Primary::Finds => format!("finds the record in {load} ms"),
            Primary::Missing => format!("says after {load} ms that there is no record"),
            Primary::Failing => format!("fails after {load} ms"),
        },
    );
    page.row(
        "Protection",
        match (plan.protected, plan.tracking) {
            (true, false) => "single-flight in each process, a lease across processes",
            (true, true) => "single-flight in each process, a lease across processes, tracked",
            _ => "none: HGETALL, load on a miss, HSET + PEXPIRE",
        },
    );
    page.row("Redis", server);
    page
}

/// The results of the run.
pub(crate) fn report(plan: &Plan, figures: &Figures, requests: &Result<Requests, String>) -> Page {
    let mut page = Page::new(LABEL);
    page.line("");
    page.row("Loads", &loads(&figures.loads));
    let absent = plan.primary != Primary::Finds;
    if plan.protected && absent && plan.processes > 1 {
        page.row("", "nothing to cache, so the processes ask in turn");
    }
    page.row("Answers", &answers(figures));
    if let Some(trouble) = &figures.trouble {
        page.row("First trouble", trouble);
    }

    page.line("");
    page.cells("", &["min", "median", "p99", "max"]);
    spread(
        &mut page,
        "Until all are answered",
        &figures.until_all_answered,
        false,
    );
    spread(&mut page, "Answer of a reader", &figures.answer, true);
    if plan.protected {
        spread(
            &mut page,
            "Wake-up, same process",
            &figures.wake_up_here,
            true,
        );
        spread(
            &mut page,
            "Wake-up, other processes",
            &figures.wake_up_elsewhere,
            true,
        );
        spread(&mut page, "Loader, after its load", &figures.fill, true);
    }

    page.line("");
    match requests {
        Ok(requests) => commands(&mut page, plan, requests),
        Err(why) => page.row("Redis commands", &format!("unknown: {why}")),
    }

    page.line("");
    if plan.protected {
        page.line("Wake-up delay, from the load's end to the answers of those who waited for it");
        histogram::growing(
            &mut page,
            figures.wake_up_here.samples(),
            figures.wake_up_elsewhere.samples(),
        );
    } else {
        page.line("Answer of a reader, from its start");
        histogram::even(&mut page, figures.answer.samples());
    }
    page
}

/// `1 load`, `5 loads in 5 rounds, 1 each`, `9 loads in 5 rounds, 1 to 3 each`.
fn loads(rounds: &[u64]) -> String {
    let total = plural(rounds.iter().sum(), "load");
    let least = rounds.iter().min().unwrap_or(&0);
    let most = rounds.iter().max().unwrap_or(&0);
    match rounds.len() {
        0 | 1 => total,
        n if least == most => format!("{total} in {n} rounds, {most} each"),
        n => format!("{total} in {n} rounds, {least} to {most} each"),
    }
}

fn answers(figures: &Figures) -> String {
    let count = |how| figures.count(how);
    let errors = count(How::LoaderError) + count(How::OtherError);
    let whose = match count(How::LoaderError) {
        0 => String::new(),
        n => format!(" ({n} the loader's own)"),
    };
    format!(
        "{} hit, {} loaded, {} waited, {} degraded, {}{whose}",
        count(How::Hit),
        count(How::Loaded),
        count(How::Waited),
        count(How::Degraded),
        plural(errors as u64, "error"),
    )
}

/// Prints the figures of a set of durations, if it is not empty.
fn spread(page: &mut Page, label: &str, spread: &Spread, with_p99: bool) {
    let figure = |percent| {
        let figure = spread.percentile(percent);
        figure.map(page::duration).unwrap_or_default()
    };
    if spread.samples().is_empty() {
        return;
    }
    // One sample for each round is too few for this percentile.
    let p99 = if with_p99 { figure(99) } else { String::new() };
    page.cells(label, &[&figure(0), &figure(50), &p99, &figure(100)]);
}

fn commands(page: &mut Page, plan: &Plan, requests: &Requests) {
    let lookups = plan.readers() * u64::from(plan.rounds);
    page.cells("Redis commands", &["calls", "per reader"]);
    list(page, &requests.sent, lookups);
    let sent: u64 = requests.sent.values().sum();
    page.cells("  all sent", &[&sent.to_string(), &ratio(sent, lookups)]);
    if !requests.inside.is_empty() {
        page.line("  inside the scripts:");
        list(page, &requests.inside, lookups);
    }
}

fn list(page: &mut Page, commands: &Commands, lookups: u64) {
    for (name, calls) in commands {
        let label = format!("  {}", name.to_uppercase());
        page.cells(&label, &[&calls.to_string(), &ratio(*calls, lookups)]);
    }
}

/// With two digits, rounded to the nearest.
fn ratio(of: u64, to: u64) -> String {
    let hundredths = (of * 100 + to / 2) / to.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
