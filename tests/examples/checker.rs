//! Runs of the history checker, and the output that they must have.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::example::{self, Run};

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Checked(pub(crate) Run);

pub(crate) fn history(args: &[&str]) -> Checked {
    // Each run has as many threads as a small machine can run.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Checked(example::run("history", args, PATIENCE))
}

impl Checked {
    pub(crate) fn says(&self, label: &str) -> &str {
        self.0.says(label)
    }

    /// The number at the beginning of what it says.
    pub(crate) fn counts(&self, label: &str) -> u64 {
        let first = self.says(label).split_whitespace().next();
        first.and_then(|word| word.parse().ok()).expect("a number")
    }

    pub(crate) fn finds_nothing(&self) {
        assert!(
            self.0.status.success(),
            "{}{}",
            self.0.stdout,
            self.0.stderr
        );
        assert_eq!(self.says("Violations"), "none");
        // Without these the run would show nothing.
        for label in ["  hit", "  loaded", "  waited", "Writes", "Refused fills"] {
            assert!(self.counts(label) > 0, "{label} in:\n{}", self.0.stdout);
        }
    }
}

/// Ends at the first violation: mostly within seconds.
pub(crate) fn is_found(rule: &[&str]) {
    let bound = ["--seconds", "60", "--operations", "10000000"];
    let run = history(&[&["--break"], rule, &bound].concat());
    assert_eq!(
        run.0.status.code(),
        Some(1),
        "{}{}",
        run.0.stdout,
        run.0.stderr
    );
    let violations = [
        "older than a write whose invalidation had returned",
        "older than what may be read near",
        // A part of a record, which an update set in the place of one that had gone.
        "a record that never was",
        "a lookup that took longer than any may",
    ];
    assert!(
        violations.contains(&run.says("Violation")),
        "{}",
        run.0.stdout
    );
}

/// The audit reports what a broken protocol has left in the cache: mostly within seconds. It takes
/// luck, since the last thing of a storm must leave it. On a machine three times as busy, a report of
/// an old fill takes 10 s on average, so the bound is many times that.
pub(crate) fn is_reported(rule: &[&str]) {
    let bound = [
        "--audit",
        "--calm",
        "--seconds",
        "180",
        "--operations",
        "10000000",
    ];
    let run = history(&[&["--break"], rule, &bound].concat());
    assert_eq!(
        run.0.status.code(),
        Some(1),
        "{}{}",
        run.0.stdout,
        run.0.stderr
    );
    assert_eq!(run.says("Violation"), "the audit has reported it");
}
