//! A harness of this project's tests, not an example to copy.
//!
//! It reads an event log, and proves or refutes for that run: a lookup never returned a record from
//! before an invalidation that had returned.
//!
//! ```text
//! cargo run --release --features event-log --example history -- --record trace.jsonl --seconds 10
//! cargo run --release --example check -- trace.jsonl
//! ```
//!
//! `args` has the flags, [`judge`] the rules, `made` traces of any length, and `report` what is
//! printed.

mod args;
#[path = "../../../examples/support/args.rs"]
mod command_line;
mod judge;
mod made;
#[path = "../../../examples/support/page.rs"]
mod page;
#[path = "../../../examples/support/progress.rs"]
mod progress;
mod report;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::ExitCode,
};

use crate::{
    args::Args,
    judge::{Judge, line::Line, merge::Merge},
    report::{Checked, Found, Verdict},
};

/// How many lines of processes wait for those of slower ones: a few seconds of a busy run.
const MOST_WAITING: usize = 300_000;

/// The longest line that is read. An id may have 64 KiB, and each byte of it six characters.
const LONGEST_LINE: u64 = 1 << 20;

/// How many lookups are shown.
const SHOWN: usize = 3;

/// The exit status if the trace proves nothing, or could not be read.
const INCOMPLETE: u8 = 2;

fn main() -> ExitCode {
    let checked = command_line::read::<Args>().and_then(|args| {
        let checked = check(&args)?;
        report::page(&args, &checked).print()?;
        Ok(checked.verdict())
    });
    match checked {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Refuted) => ExitCode::FAILURE,
        Ok(Verdict::Incomplete) => ExitCode::from(INCOMPLETE),
        Err(why) => {
            eprintln!("check: {why}");
            ExitCode::from(INCOMPLETE)
        }
    }
}

fn check(args: &Args) -> Result<Checked, String> {
    if let Some(lines) = args.made {
        return check_lines(args, lines, made::lines(lines).map(Ok));
    }
    let path = args.trace.as_deref().ok_or("which trace?")?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut text = Vec::new();
    let lines = std::iter::from_fn(|| {
        text.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text);
        match read {
            Ok(0) => None,
            // A line that is no text is none.
            Ok(_) => Some(Ok(String::from_utf8_lossy(&text).into_owned())),
            Err(error) => Some(Err(failed(error))),
        }
    });
    check_lines(args, length, lines)
}

/// `length`: that of all lines, in bytes, or in lines if they are made.
fn check_lines(
    args: &Args,
    length: u64,
    lines: impl Iterator<Item = Result<String, String>>,
) -> Result<Checked, String> {
    let (mut merge, mut judge) = (Merge::new(MOST_WAITING), Judge::new(args.limits()));
    let mut checked = Checked::default();
    let bar = progress::bar("checked", length);
    for line in lines {
        let line = line?;
        bar.inc(if args.made.is_some() {
            1
        } else {
            line.len() as u64
        });
        if line.trim().is_empty() {
            continue;
        }
        checked.lines += 1;
        merge.add(Line::parse(&line));
        judge_waiting(&mut merge, &mut judge, &mut checked);
    }
    merge.end();
    judge_waiting(&mut merge, &mut judge, &mut checked);
    checked.most_kept = checked.most_kept.max(judge.len());
    checked.gaps = merge.gaps;
    checked.processes = merge.processes;
    checked.counts = judge.counts;
    checked.slack = merge.slack;
    Ok(checked)
}

/// How often the kept items are counted.
const COUNTED_EVERY: u64 = 1 << 16;

fn judge_waiting(merge: &mut Merge, judge: &mut Judge, checked: &mut Checked) {
    if checked.lines.is_multiple_of(COUNTED_EVERY) {
        checked.most_kept = checked.most_kept.max(judge.len());
    }
    checked.most_waiting = checked.most_waiting.max(merge.waiting());
    while let Some(line) = merge.next() {
        checked.first.get_or_insert(line.at());
        checked.last = line.at();
        // What is missing could explain the lookup.
        let has_gap = merge.gaps.any();
        let Some(refutation) = judge.take(line, merge.slack) else {
            continue;
        };
        checked.refuted += u64::from(!has_gap);
        if checked.shown.len() < SHOWN {
            checked.shown.push(Found {
                refutation,
                has_gap,
            });
        }
    }
}
