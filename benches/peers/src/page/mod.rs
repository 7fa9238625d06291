//! Writes the page for readers: `benches/peers.md`.

mod calls;
mod stampede;
mod table;
mod threads;

use std::fmt::Write as _;

use crate::{machine, peer::ALL, results::Results};

const LOCK: &str = include_str!("../../Cargo.lock");

/// The whole page.
pub(crate) fn write(results: &Results, machine: &str, rounds: &str) -> String {
    let parts = [
        head(machine, rounds),
        calls::section(results),
        threads::section(results),
        stampede::section(results),
        who(),
    ];
    parts.join("\n")
}

fn head(machine: &str, rounds: &str) -> String {
    format!(
        "# Beside what a user would pick instead

Written by `cargo run --release --manifest-path benches/peers/Cargo.toml`.

{machine}.

All in one run on one private server over loopback TCP, with the same record of four fields, which each serialises its
own way. They take turns, {rounds},
in an order that rotates. Each figure is the median over the rounds, in brackets the quartiles; each ratio is taken round
by round. Two are level if 1 lies between the quartiles of their ratio. A dash means that there is no such call.
[Who they are](#who) is at the end; what each of them promises is not in these figures.
"
    )
}

fn who() -> String {
    let mut text = String::from("## Who\n\n| | version | |\n|---|---|---|\n");
    for maker in ALL {
        let version = maker
            .package
            .and_then(|package| machine::version_of(package, LOCK))
            .unwrap_or("–");
        let (name, about) = (maker.name, maker.about);
        let _ = writeln!(text, "| {name} | {version} | {about} |");
    }
    text
}
