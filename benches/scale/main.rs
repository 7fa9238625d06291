//! The costs that grow with processes, keys and nodes: the cost of each step for a server and for a
//! process, and a plan for a larger fleet.
//!
//! `cargo bench --bench scale --features cluster` takes some four minutes. It measures on private
//! servers. It writes `benches/scale.md`: the tables, and the computation of a fleet, with the text
//! of `scale/page.md`. It draws `benches/scale.svg`.
//!
//! Costs are processor times, as the server and the kernel count them. Other load on the machine
//! makes them a little larger, but waiting does not count.
//!
//! One file each: `calls` (of `steps`), `memory`, `pushes`, `beside`, `prefixes`, `expiry`,
//! `process` and `waits` measure, with a `meter` on the server and with `listeners`. `constants`
//! has the inputs of the formulas, and `capacity_plan` has the formulas and the plan. `tables` and
//! `plot` show them.

mod beside;
mod calls;
mod capacity_plan;
#[path = "../../tests/support/cluster.rs"]
mod cluster;
mod constants;
mod expiry;
mod listeners;
#[path = "../support/machine.rs"]
mod machine;
mod memory;
mod meter;
#[path = "../../examples/support/paint.rs"]
mod paint;
mod patient;
mod plot;
mod prefixes;
mod process;
#[path = "../../examples/support/progress.rs"]
mod progress;
mod pushes;
mod show;
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tables;
mod waits;

use std::{fs, path::Path};

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
}

/// All inputs of the plan.
struct Measured {
    calls: Vec<calls::Cost>,
    sizes: Vec<memory::Size>,
    changes: Vec<pushes::Change>,
    beside: [f64; beside::LISTENERS.len()],
    walked: prefixes::Walked,
    expiry: expiry::Expiry,
    process: process::Process,
    heartbeat: process::Heartbeat,
    cluster_heartbeat: process::Heartbeat,
    waits: waits::Waits,
}

fn main() {
    // `cargo test --benches` runs it too.
    let in_earnest = std::env::args().any(|arg| arg == "--bench");
    let effort = Effort { in_earnest };
    let machine = machine::describe(&mut Server::start_on_port().connect());
    // The page has no date, because the history of the file shows it.
    let machine = machine.rsplit_once(", ").map_or("", |(machine, _)| machine);
    let progress = progress::bar("step", if in_earnest { 57 } else { 38 });
    let done = || progress.inc(1);
    let measured = Measured {
        calls: calls::calls(effort, done),
        sizes: memory::sizes(effort, done),
        changes: pushes::changes(effort, done),
        beside: beside::hits(effort, done),
        walked: prefixes::prefixes(effort, done),
        expiry: expiry::expiry(effort, done),
        process: process::process(effort, done),
        heartbeat: process::heartbeat(effort, done),
        cluster_heartbeat: process::cluster_heartbeat(effort, done),
        waits: waits::waits(effort, done),
    };
    drop(progress);

    let page = tables::page(&measured, machine);
    println!("{page}");
    if in_earnest {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        fs::write(here.join("scale.md"), page).unwrap();
        plot::draw(&here.join("scale.svg"), &measured).unwrap();
    }
}
