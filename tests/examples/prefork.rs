//! A pre-forking program: short forms of what `cargo run --release --example prefork` does at
//! length.

use std::time::Duration;

use crate::example;

/// Longer than any of these runs may take on the slowest machine, and than a child that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn parent_and_children_get_no_foreign_and_no_stale_record_and_none_hangs() {
    for near in [&[][..], &["--near"]] {
        let run = example::run("prefork", &[&["--seconds", "6"], near].concat(), PATIENCE);
        assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
        let counts = |label: &str| run.says(label).parse::<u64>().expect("a number");
        // Without these the run would show nothing.
        for label in ["  hit", "  loaded", "  waited", "Writes"] {
            assert!(counts(label) > 0, "{label} in:\n{}", run.stdout);
        }
        assert_eq!(counts("Forks"), 8);
        assert_eq!(counts("  near") > 0, !near.is_empty(), "{}", run.stdout);
        assert_eq!(counts("Violations"), 0);
    }
}
