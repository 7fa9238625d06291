//! The history checker: that it finds nothing where the protocol is kept, and finds each rule that is broken.
//!
//! Short forms of what `cargo run --release --example history` does at length.

#[path = "support/example.rs"]
mod example;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use example::Run;

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Checked(Run);

fn history(args: &[&str]) -> Checked {
    // Each run has as many threads as a small machine can bear.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Checked(example::run("history", args, PATIENCE))
}

impl Checked {
    fn says(&self, label: &str) -> &str {
        self.0.says(label)
    }

    /// The number at the beginning of what it says.
    fn counts(&self, label: &str) -> u64 {
        let first = self.says(label).split_whitespace().next();
        first.and_then(|word| word.parse().ok()).expect("a number")
    }

    fn finds_nothing(&self) {
        assert!(
            self.0.status.success(),
            "{}{}",
            self.0.stdout,
            self.0.stderr
        );
        assert_eq!(self.says("Violations"), "none");
        // Without these the run would have shown nothing.
        for label in ["  hit", "  loaded", "  waited", "Writes", "Refused fills"] {
            assert!(self.counts(label) > 0, "{label} in:\n{}", self.0.stdout);
        }
    }
}

/// Ends as soon as it is found: within seconds, mostly.
fn is_found(rule: &[&str]) {
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
    ];
    assert!(
        violations.contains(&run.says("Violation")),
        "{}",
        run.0.stdout
    );
}

#[test]
fn no_lookup_returns_what_was_there_before_a_write_that_had_ended() {
    history(&["--calm", "--seconds", "3"]).finds_nothing();
}

#[test]
fn no_lookup_does_so_where_requests_are_lost_and_late_and_the_server_comes_and_goes() {
    let run = history(&["--seconds", "5"]);
    run.finds_nothing();
    assert!(run.counts("  degraded") > 0, "{}", run.0.stdout);
}

#[test]
fn with_near_caches_nothing_is_older_than_the_bound_nor_than_what_its_process_wrote() {
    let run = history(&["--near", "--seconds", "5"]);
    run.finds_nothing();
    assert!(run.counts("  near") > 0, "{}", run.0.stdout);
}

#[test]
fn with_grace_nothing_that_is_served_is_from_before_a_write_that_had_ended() {
    let run = history(&["--grace", "--seconds", "5"]);
    run.finds_nothing();
    assert!(run.counts("  stale") > 0, "{}", run.0.stdout);
    assert!(run.counts("  refreshed") > 0, "{}", run.0.stdout);
}

#[test]
fn with_all_of_it_neither() {
    history(&["--grace", "--near", "--seconds", "5"]).finds_nothing();
}

#[test]
fn a_near_cache_that_is_not_told_what_changes_is_found() {
    is_found(&["push"]);
}

#[test]
fn a_fill_that_does_not_look_at_its_token_is_found() {
    is_found(&["fill"]);
}

#[test]
fn a_load_that_is_shared_by_its_key_is_found() {
    is_found(&["flights"]);
}

#[test]
fn a_guard_that_keeps_its_nonce_is_found() {
    // Where many threads of one process meet at the same guards it takes the fewest turns.
    is_found(&["nonce", "--calm", "--processes", "1", "--threads", "24"]);
}

#[test]
fn an_update_that_is_not_watched_is_found() {
    is_found(&["watch"]);
}

#[test]
fn a_wrong_flag_is_refused_in_one_line() {
    let run = history(&["--process", "5"]);
    assert_eq!(run.0.status.code(), Some(2));
    assert_eq!(
        run.0.stderr,
        "history: unexpected argument '--process' found (try --help)\n"
    );
}
