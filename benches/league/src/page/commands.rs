//! Writes the page of the commands: `benches/commands.md`.

use std::{fs, path::Path};

use indicatif::ProgressBar;

use super::table::Table;
use crate::{
    Failure, Machine,
    commands::{Commands, Count},
    peer::{OURS, Peer},
};

/// Counts the commands of each.
pub(crate) fn count(peers: &[Peer], bar: &ProgressBar) -> Result<Vec<Commands>, Failure> {
    let each = peers.iter().map(|peer| {
        bar.set_message(format!("{}, commands", peer.name));
        let commands = Commands::count(peer);
        bar.inc(1);
        Ok(commands.map_err(|error| format!("{}, commands: {error}", peer.name))?)
    });
    each.collect()
}

pub(crate) fn table(peers: &[Peer], counted: &[Commands]) -> String {
    let mut table = Table::new(&["miss", "hit", "write"]);
    for (peer, commands) in peers.iter().zip(counted) {
        let counts = [commands.miss, commands.hit, commands.write];
        table.row(&peer.name, counts.map(|count| Some(each_call(count))));
    }
    table.finish()
}

/// `2 + 5`, or one number if no script runs commands.
fn each_call(count: Count) -> String {
    let [sent, in_scripts] = [count.sent, count.in_scripts].map(|number| {
        let digits = format!("{number:.1}");
        digits.strip_suffix(".0").unwrap_or(&digits).to_owned()
    });
    if in_scripts == "0" {
        sent
    } else {
        format!("{sent} + {in_scripts}")
    }
}

/// A hit of this crate is one command. Fails if it is not, or if the commands are not seen. What is
/// sent by a clock, and not for a call, is more of it where calls take longer: it is rounded away.
pub(crate) fn check(peers: &[Peer], counted: &[Commands]) -> Result<(), Failure> {
    let mut pairs = peers.iter().zip(counted);
    let ours = pairs.find(|(peer, _)| peer.name == OURS);
    match ours.map(|(_, commands)| commands.hit) {
        Some(hit) if (hit.sent - 1.0).abs() > 0.5 || hit.in_scripts > 0.5 => {
            Err(format!("a hit of {OURS} sends {} commands", each_call(hit)).into())
        }
        _ => Ok(()),
    }
}

/// Writes the page into this folder.
pub(crate) fn write(
    folder: &Path,
    machine: &Machine,
    (peers, counted): (&[Peer], &[Commands]),
) -> Result<(), Failure> {
    let text = format!(
        "{HEAD}\n{}.\n\n{}",
        machine.description,
        table(peers, counted)
    );
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join("commands.md"), text)?)
}

const HEAD: &str = "\
# The commands of one call

Written by `cargo run --release --manifest-path benches/league/Cargo.toml -- --commands`. It installs the libraries of
other languages, and needs Python 3 and Node.

The commands that a library sends for one call, and after the plus those that its scripts run in the server. Languages
differ in speed, but not in this. One process sends one request after another to a server that does nothing else, and
`MONITOR` shows the commands. Each figure is the mean of twenty calls, each for a record of its own.

- **miss**: nobody has the record. The loader runs, and the record is cached.
- **hit**: the third lookup in the same process. Some caches in the process keep a record from its second lookup on, and
  send nothing then.
- **write**: what the library offers to end a record after a write of the primary. The next lookup is a miss.

Commands of one pipeline count one by one. What a library sends by a clock, and not for a call, adds up to 0.1.
[league.md](league.md) says how each library is set up, and how many stale reads it has.
";
