//! The command line of an example.

use clap::Parser;

/// The arguments of this process. `Err` is a one-line message about what is wrong with them. For
/// `--help`, it prints the help and ends the process.
pub(crate) fn read<A: Parser>() -> Result<A, String> {
    A::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // The other lines are the usage, which `--help` shows better.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("error: ").unwrap_or(line);
        format!("{line} (try --help)")
    })
}
