//! How the cost grows with the size of records, with the number of ids, and with the caches on one
//! pool.
//!
//! `cargo bench --bench growth` takes about two minutes. It prints a table for each, writes them to
//! `benches/growth.md`, and draws `benches/growth.svg`. The exponent of each column is below it: 0
//! if the figure does not grow, 1 if it is proportional to the varied quantity. The exit status is
//! 1 if a figure grows faster than that.
//!
//! The files: `sizes`, `ids` and `caches` measure; `table` computes the exponents, and `plot` draws
//! the picture.

#[path = "../support/bare.rs"]
mod bare;
mod caches;
mod ids;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../../examples/support/paint.rs"]
mod paint;
mod plot;
#[path = "../../examples/support/progress.rs"]
mod progress;
mod sizes;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
#[path = "../support/times.rs"]
mod times;

use std::{fs, path::Path, process::ExitCode};

use support::Server;

/// How much work to do: almost none if the bench only has to run.
#[derive(Clone, Copy)]
struct Effort {
    in_earnest: bool,
}

impl Effort {
    fn rounds(self, rounds: usize) -> usize {
        if self.in_earnest { rounds } else { 2 }
    }

    /// The steps of one axis.
    fn steps<T>(self, mut all: Vec<T>) -> Vec<T> {
        if !self.in_earnest {
            all.truncate(2);
        }
        all
    }
}

fn main() -> ExitCode {
    // `cargo test --benches` runs it too.
    let in_earnest = std::env::args().any(|arg| arg == "--bench");
    let effort = Effort { in_earnest };
    let machine = machine::describe(&mut Server::start_on_port().connect());
    let progress = progress::bar("step", 23);
    let done = || progress.inc(1);
    let tables = [
        sizes::fields(effort, done),
        sizes::bytes(effort, done),
        ids::ids(effort, done),
        caches::caches(effort, false, done),
        caches::caches(effort, true, done),
    ];
    drop(progress);

    let rendered: Vec<_> = tables.iter().map(table::Table::render).collect();
    let rendered = rendered.join("\n");
    println!("{rendered}\n{machine}");
    if !in_earnest {
        return ExitCode::SUCCESS;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let page = format!(
        "# How cost grows\n\n\
        By `cargo bench --bench growth`: medians of calls that took turns, over loopback TCP, \
        beside the same commands by redis-rs on one held connection. {machine}.\n\n\
        Exponent 0: the cost does not grow. Exponent 1: it grows in proportion to what is varied. The first line is \
        fitted to all rows. The second has the last two rows only, where the fixed cost of a round trip matters least. \
        The rows are measured one after another, so other load on the machine changes their times, but not their \
        ratios. The benchmark fails if an exponent exceeds 1.25.\n\n\
        ![Time against size, number of ids and of caches, all axes logarithmic.](growth.svg)\n\n{rendered}"
    );
    fs::write(here.join("growth.md"), page).unwrap();
    // Without near caches, only the threads grow.
    let [fields, bytes, ids, _, caches] = &tables;
    plot::draw(&here.join("growth.svg"), &[fields, bytes, ids, caches]).unwrap();
    let worse: Vec<_> = tables
        .iter()
        .flat_map(table::Table::worse_than_linear)
        .collect();
    for what in &worse {
        eprintln!("growth: {what}");
    }
    if worse.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
