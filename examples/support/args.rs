//! The command line of an example.

use clap::Parser;

/// The arguments of this process. `Err` says in one line what is wrong with them; asked for help,
/// it is printed and the process ends.
pub(crate) fn read<A: Parser>() -> Result<A, String> {
    A::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // Further lines are the usage, which `--help` shows better.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("error: ").unwrap_or(line);
        format!("{line} (try --help)")
    })
}
