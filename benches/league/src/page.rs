//! Writes the page for readers, `benches/league.md`, and the tables for a terminal.

pub(crate) mod commands;
#[path = "../../peers/src/page/table.rs"]
mod table;

use std::fmt::Write as _;

use crate::{
    Machine, Plan,
    conversation::{ROWS, THREADS, Tally, WRITE_PAUSE},
    figure, machine,
    peer::{OURS, Peer, Program, Statement},
    primary::{COMMIT_PAUSE, LOAD_PAUSE},
    results::{Cell, Entry, count},
    turn::{Outcome, PROCESSES, Scenario},
};
use table::Table;

const LOCK: &str = include_str!("../Cargo.lock");

/// The whole page.
pub(crate) fn write(entries: &[Entry], machine: &Machine, plan: &Plan) -> String {
    let parts = [
        head(machine, plan),
        standings(entries),
        tables(entries),
        format!("{COLUMNS}{}", unexplained(entries)),
        who(entries),
        LIMITS.to_owned(),
    ];
    parts.join("\n")
}

fn head(machine: &Machine, plan: &Plan) -> String {
    let (least, most) = WRITE_PAUSE;
    let description = &machine.description;
    let busy = if machine.is_busy { BUSY } else { "" };
    format!(
        "# Stale reads, here and elsewhere

Written by `cargo run --release --manifest-path benches/league/Cargo.toml`. It installs the peers of other languages, and
needs Python 3 and Node.

{description}.{busy}

![Stale reads per million of each library, in three scenarios](league.svg)

A read is **stale** if it began after a write had returned, and gave an older version. A write changes the primary, then
calls what the library offers to end a cached record; it has returned when that call has returned without an error. The
judge sends all reads and writes, and decides by its own clock: what was unclear counts as fresh.

Each library runs in {PROCESSES} processes, each with {THREADS} requests under way, on {ROWS} records with a TTL of 30 s. Each process
writes every {least} to {most} ms, the first record most often and each further one half as often. A load pauses up to {LOAD_PAUSE} ms
after it has read the primary, and a write up to {COMMIT_PAUSE} ms after its commit. A turn takes {} s, with a new server; its last
sixth has no writes. There are {} turns of each library in each scenario, and the libraries alternate. The pauses between
writes and faults, and what they affect, come from the same seed for all. Locks that outlive their process end after 2 s.
",
        plan.length.as_secs(),
        plan.rounds,
    )
}

/// Follows the description of the machine.
const BUSY: &str = "
**Other programs kept this machine busy**: the load average was above the number of its cores. Times, errors and reads a
second are worse for it, in all rows, and vary more.";

/// What the figures say in words, also where it is to the credit of others.
fn standings(entries: &[Entry]) -> String {
    let mut text = String::new();
    if let Some(ours) = entries.iter().find(|entry| entry.peer.name == OURS) {
        let (stale, reads) = (whole(ours.stale()), whole(ours.reads()));
        let _ = writeln!(
            text,
            "- **{OURS}**: {stale} stale of {reads} reads in all scenarios."
        );
    }
    let names = |is_one: &dyn Fn(&Entry) -> bool| {
        let chosen = entries
            .iter()
            .filter(|entry| entry.peer.name != OURS && is_one(entry));
        let names: Vec<_> = chosen.map(|entry| &*entry.peer.name).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(" · ")
        }
    };
    let has_statement = |entry: &Entry| entry.peer.statement != Statement::NotFound;
    for (what, names) in [
        (
            "Others without a stale read",
            names(&|entry| entry.stale() == 0),
        ),
        (
            "Stale reads, all within the bound that the documentation states (†)",
            names(&|entry| entry.stale() > 0 && entry.undocumented() == 0),
        ),
        (
            "Stale reads, some against what the documentation states",
            names(&|entry| entry.undocumented() > 0 && has_statement(entry)),
        ),
        (
            "Stale reads, and no statement about them found",
            names(&|entry| entry.undocumented() > 0 && !has_statement(entry)),
        ),
    ] {
        let _ = writeln!(text, "- **{what}**: {names}.");
    }
    text
}

/// A table for each scenario.
pub(crate) fn tables(entries: &[Entry]) -> String {
    let tables = (0..Scenario::ALL.len()).map(|scenario| {
        let mut table = Table::new(&[
            "stale reads per million",
            "documented",
            "a stale version stayed: median · longest",
            "loads per version",
            "errors per million",
            "longest read",
            "reads a second",
            "writes a second",
        ]);
        for entry in entries {
            let name = format!("{}{}", entry.peer.name, entry.peer.mark());
            table.row(&name, cells(&entry.cells[scenario], entry.peer.statement));
        }
        let (name, about) = (
            Scenario::ALL[scenario].name(),
            about(Scenario::ALL[scenario]),
        );
        format!(
            "## {}{}\n\n{about}\n\n{}",
            name[..1].to_uppercase(),
            &name[1..],
            table.finish()
        )
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn about(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Races => "Nothing fails.",
        Scenario::Connections => {
            "In bursts, connections between some processes and Redis are cut, or their bytes are delayed, most by up to \
             20 ms and some by up to 400 ms."
        }
        Scenario::Deaths => {
            "Every 500 to 1,500 ms, one process is killed in the middle of its requests, and started again. A write that \
             died does not count as returned."
        }
    }
}

fn cells(cell: &Cell, statement: Statement) -> [Option<String>; 8] {
    let stale = sum(cell, |tally| tally.stale);
    let documented = sum(cell, |tally| tally.documented);
    let documented = match statement {
        _ if stale == 0 => None,
        Statement::NotFound => Some("no statement found".to_owned()),
        _ if stale == documented => Some("all".to_owned()),
        _ => Some(format!("{} of {}", whole(documented), whole(stale))),
    };
    let stayed = cell.stayed().map(|(median, longest)| {
        let [median, longest] = [median, longest].map(|time| figure::time(time.as_secs_f64()));
        format!("{median} · {longest}")
    });
    [
        Some(count(cell.stale_per_million())),
        documented,
        stayed,
        Some(count(cell.loads_per_version())),
        Some(errors(cell)),
        Some(figure::time(cell.longest_read().as_secs_f64())),
        Some(count(cell.reads_per_second())),
        Some(count(cell.writes_per_second())),
    ]
}

/// Also those processes that ended, and those requests that never did.
fn errors(cell: &Cell) -> String {
    let mut text = count(cell.errors_per_million());
    for (number, what) in [
        (sum(cell, |tally| tally.crashes), "ended"),
        (sum(cell, |tally| tally.unanswered), "unanswered"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

fn sum(cell: &Cell, number: fn(&Tally) -> u64) -> u64 {
    let tallies = cell.rounds.iter().map(|round| &round.tally);
    tallies.map(number).sum()
}

/// Requests without a reply where nothing failed need a word: they may be our fault.
fn unexplained(entries: &[Entry]) -> String {
    let cells = entries.iter().map(|entry| {
        let mut cells = entry.cells.iter();
        cells.find(|cell| cell.scenario == Scenario::Races)
    });
    let unanswered = cells
        .flatten()
        .map(|cell| sum(cell, |tally| tally.unanswered));
    if unanswered.sum::<u64>() == 0 {
        return String::new();
    }
    "Where nothing fails, we do not know why requests were unanswered: it may be our worker.\n"
        .to_owned()
}

const COLUMNS: &str = "\
Figures with brackets are the median of the turns, with the smallest and the largest. The longest read, the times that a
stale version stayed, and what is documented are of all turns together. The TTLs of the records bound all stale
reads. † marks those whose documentation says that a read may be old after a write, that a load may overwrite a write, or
that messages tell other processes ([Who](#who)). **Documented**: how many stale reads began within the time that it
states, or within the TTL if it states none. A TTL alone does not count as such a statement. **Stayed**: from the return of the newer write to
the beginning of the last read that returned a stale version; the next write of the record, and the end of the turn, cut
it short. **Loads per version**: reads of the primary for each version that was loaded at all. More than one can be right:
a record that ends several times during one version must be loaded as often. **Errors**: requests to which the library
returned an error, which can be the better answer. *Ended*: processes that a library ended by itself, in all turns.
*Unanswered*: requests without a reply 12 s after the end of the turn, in all turns; no other figure has them. **Writes a
second**: while there are writes. A write begins when one of the requests under way has ended, so slow requests mean fewer
writes, and fewer chances of a stale read.
";

fn who(entries: &[Entry]) -> String {
    let mut text = String::from(
        "## Who\n\n| | version | how it is set up | what its documentation says |\n|---|---|---|---|\n",
    );
    for Entry { peer, .. } in entries {
        let entry = entries.iter().find(|entry| entry.peer.name == peer.name);
        let stated = entry.and_then(Entry::stated_version);
        let version = stated.or_else(|| locked(peer)).unwrap_or("–");
        let (name, setup, says) = (&peer.name, peer.setup, peer.says);
        let _ = writeln!(text, "| {name} | {version} | {setup} | {says} |");
    }
    text
}

fn locked(peer: &Peer) -> Option<&'static str> {
    match peer.program {
        Program::Rust(_, package) => machine::version_of(package?, LOCK),
        _ => None,
    }
}

const LIMITS: &str = "\
## What this does not say

- It says which holes exist, not how often a program meets them. Records that are written many times a second, with loads
  that pause, are the worst case. With rarer writes the figures shrink at least in proportion, but a stale record then
  stays longer: up to its TTL.
- For many programs a stale record until the TTL ends is no fault. Then a plain library is the simpler choice.
- It is no comparison of speed: the judge and its lines cost more than a hit, and languages differ. For times, see
  [peers.md](peers.md).
- Only invalidation after a write is measured. Libraries that also write the new record to the cache may do better or
  worse that way.
- The settings are ours, by the documentation of each library. If one of them can do better, its worker has some forty
  lines: [change it](league/README.md), and run this again.
";

/// A turn in a line, while the others run.
pub(crate) fn line(peer: &Peer, scenario: Scenario, round: u64, outcome: &Outcome) -> String {
    let (tally, sums) = (&outcome.tally, &outcome.sums);
    let mut text = format!(
        "{:<26} {:<18} round {}: {:>7} reads, {:>6} stale ({} documented), {} writes, {} loads of {} versions, {} and {} errors",
        peer.name,
        scenario.name(),
        round + 1,
        tally.reads,
        tally.stale,
        tally.documented,
        sums.writes,
        sums.loads,
        sums.loaded_versions,
        tally.read_errors,
        tally.write_errors,
    );
    for (number, what) in [
        (outcome.deaths, "killed"),
        (tally.crashes, "ended by themselves"),
        (tally.unanswered, "without a reply"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    if let Some(error) = &tally.first_error {
        let error: String = error.chars().take(120).collect();
        let _ = write!(text, "; first error: {error}");
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "some millions")]
fn whole(number: u64) -> String {
    figure::whole(number as f64)
}
