//! Writes the page: the text of `page.md`, with tables and figures at its placeholders.

use std::iter;

use crate::{
    Measured, beside,
    capacity_plan::{FLEETS, figures},
    constants::Constants,
    prefixes::PREFIXES,
    pushes::LISTENERS,
    show::{micros, plain},
    waits::LOADS,
};

const WORDS: &str = include_str!("page.md");

pub(crate) fn page(measured: &Measured, machine: &str) -> String {
    let tables = [
        ("machine", machine.to_owned()),
        ("calls_table", calls(measured)),
        ("memory_table", memory(measured)),
        ("pushes_table", pushes(measured)),
        ("prefixes_table", prefixes(measured)),
        ("beside_table", beside(measured)),
        ("waits_table", waits(measured)),
        ("even_table", even(measured)),
    ];
    let mut page = WORDS.to_owned();
    for (name, text) in tables.into_iter().chain(figures(measured)) {
        let asked = format!("{{{{{name}}}}}");
        assert!(page.contains(&asked), "nobody asks for {name}");
        page = page.replace(&asked, &text);
    }
    if let Some((_, unknown)) = page.split_once("{{") {
        panic!("nobody knows {:?}", unknown.split_once("}}"));
    }
    page
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn with_name<const N: usize>(name: &str, cells: [String; N]) -> Vec<String> {
    iter::once(name.to_owned()).chain(cells).collect()
}

fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = row(head) + "|---|" + &"---:|".repeat(head.len() - 1) + "\n";
    text.extend(rows.map(|cells| row(&cells)));
    text.trim_end().to_owned()
}

fn calls(measured: &Measured) -> String {
    let head = ["", "sends", "16 callers", "1 caller", "the commands alone"];
    let rows = measured.calls.iter().map(|cost| {
        let names = [cost.name, cost.sends].map(str::to_owned).into_iter();
        let costs = [cost.loaded, cost.alone, cost.inside].map(micros);
        names.chain(costs).collect()
    });
    table(&head.map(str::to_owned), rows)
}

fn memory(measured: &Measured) -> String {
    let head = with_name("", ["bytes".to_owned()]);
    let rows = measured.sizes.iter();
    let rows = rows.map(|size| with_name(size.name, [plain(size.bytes)]));
    table(&head, rows)
}

fn pushes(measured: &Measured) -> String {
    let mut head = with_name("listeners:", LISTENERS.map(|count| count.to_string()));
    head.extend(["each adds", "messages to each", "bytes to each"].map(str::to_owned));
    let rows = measured.changes.iter().map(|change| {
        let mut cells = with_name(change.name, change.cpu.map(micros));
        // Without pushes, the figure is noise.
        let each = (change.messages > 0.0).then(|| micros(change.each_listener()));
        cells.push(each.unwrap_or_else(|| "–".to_owned()));
        cells.extend([change.messages, change.bytes].map(plain));
        cells
    });
    table(&head, rows)
}

fn prefixes(measured: &Measured) -> String {
    let head = with_name("prefixes:", PREFIXES.map(|count| plain(count.into())));
    let rows = [
        ("a turn with a hit", measured.walked.hit),
        (
            "a key that changes, of 100 in a turn",
            measured.walked.write,
        ),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, cpu)| with_name(name, cpu.map(micros)));
    table(&head, rows)
}

fn beside(measured: &Measured) -> String {
    let head = with_name(
        "listeners:",
        beside::LISTENERS.map(|count| count.to_string()),
    );
    let hits = with_name(
        "a hit just behind a write, by the clock",
        measured.beside.map(micros),
    );
    table(&head, [hits].into_iter())
}

fn waits(measured: &Measured) -> String {
    let head = with_name(
        "a load of",
        LOADS.map(|millis| plain(millis.into()) + " ms"),
    );
    let rows = [
        ("polling", measured.waits.polling),
        ("with `tracking`", measured.waits.woken),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, asked)| with_name(name, asked.map(plain)));
    table(&head, rows)
}

fn even(measured: &Measured) -> String {
    let constants = Constants::of(measured);
    let head = with_name("processes:", FLEETS.map(plain));
    let rows = [
        ("for the server", constants.server_even()),
        ("… where threads share requests", constants.shared_even()),
        ("for the process", constants.process_even()),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, reads)| with_name(name, FLEETS.map(|processes| plain(processes * reads))));
    table(&head, rows)
}
