//! The figures as text: all on one grid, a column of labels and columns of figures.

use std::time::Duration;

use crate::{
    figures::{Figures, Requests, Spread},
    ground::Commands,
    histogram,
    plan::{How, Plan, Primary},
};

/// As wide as the longest label and a gap.
const LABEL: usize = 28;
/// As wide as the longest figure, `123.4 ms`, and a gap.
const FIGURE: usize = 11;

/// What is about to happen.
pub(crate) fn heading(plan: &Plan, server: &str) {
    let load = plan.load.as_millis();
    let threads = plural(u64::from(plan.threads), "thread");
    let readers = match plan.processes {
        1 => threads,
        n => format!("{} ({n} processes × {threads})", plan.readers()),
    };
    row(
        "Readers",
        &format!("{readers}, all asking for one cold key"),
    );
    let rounds = match plan.rounds {
        1 => "1".to_owned(),
        n => format!("{n}, each with another key"),
    };
    row("Rounds", &rounds);
    row(
        "Primary",
        &match plan.primary {
            Primary::Finds => format!("finds the record in {load} ms"),
            Primary::Missing => format!("says after {load} ms that there is no record"),
            Primary::Failing => format!("fails after {load} ms"),
        },
    );
    row(
        "Protection",
        if plan.protected {
            "single-flight in each process, a lease across processes"
        } else {
            "none: HGETALL, load on a miss, HSET + PEXPIRE"
        },
    );
    row("Redis", server);
}

/// What has happened.
pub(crate) fn report(plan: &Plan, figures: &Figures, requests: &Result<Requests, String>) {
    println!();
    row("Loads", &loads(&figures.loads));
    let absent = plan.primary != Primary::Finds;
    if plan.protected && absent && plan.processes > 1 {
        row("", "nothing to cache, so the processes ask in turn");
    }
    row("Answers", &answers(figures));
    if let Some(trouble) = &figures.trouble {
        row("First trouble", trouble);
    }

    println!();
    cells("", &["min", "median", "p99", "max"]);
    spread("Until all are answered", &figures.until_all_answered, false);
    spread("Answer of a reader", &figures.answer, true);
    if plan.protected {
        spread("Wake-up, same process", &figures.wake_up_here, true);
        spread("Wake-up, other processes", &figures.wake_up_elsewhere, true);
        spread("Loader, after its load", &figures.fill, true);
    }

    println!();
    match requests {
        Ok(requests) => commands(plan, requests),
        Err(why) => row("Redis commands", &format!("unknown: {why}")),
    }

    println!();
    if plan.protected {
        println!("Wake-up delay, from the load's end to the answers of those who waited for it");
        histogram::growing(
            figures.wake_up_here.samples(),
            figures.wake_up_elsewhere.samples(),
        );
    } else {
        println!("Answer of a reader, from its start");
        histogram::even(figures.answer.samples());
    }
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

fn spread(label: &str, spread: &Spread, with_p99: bool) {
    let figure = |percent| {
        spread
            .percentile(percent)
            .map_or_else(String::new, duration)
    };
    if spread.samples().is_empty() {
        return;
    }
    // One sample a round is too few for it.
    let p99 = if with_p99 { figure(99) } else { String::new() };
    cells(label, &[&figure(0), &figure(50), &p99, &figure(100)]);
}

fn commands(plan: &Plan, requests: &Requests) {
    let lookups = plan.readers() * u64::from(plan.rounds);
    cells("Redis commands", &["calls", "per reader"]);
    let line = |label: &str, calls: u64| {
        cells(label, &[&calls.to_string(), &ratio(calls, lookups)]);
    };
    let list = |commands: &Commands| {
        for (name, calls) in commands {
            line(&format!("  {}", name.to_uppercase()), *calls);
        }
    };
    list(&requests.sent);
    line("  all sent", requests.sent.values().sum());
    if !requests.inside.is_empty() {
        println!("  inside the scripts:");
        list(&requests.inside);
    }
}

/// With two digits, rounded to the nearest.
fn ratio(of: u64, to: u64) -> String {
    let hundredths = (of * 100 + to / 2) / to.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// `12 µs`, `3.4 ms`, `5.67 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn row(label: &str, text: &str) {
    println!("{label:<LABEL$}{text}");
}

fn cells(label: &str, cells: &[&str]) {
    print!("{label:<LABEL$}");
    for cell in cells {
        print!("{cell:>FIGURE$}");
    }
    println!();
}
