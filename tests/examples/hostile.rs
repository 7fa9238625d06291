//! A hostile server: short forms of what `cargo run --release --example hostile` does at length.

use std::time::Duration;

use crate::example::{self, Run};

/// Longer than either of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(240);

fn hostile(args: &[&str]) -> Run {
    let run = example::run("hostile", args, PATIENCE);
    assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
    for label in [
        "Panics",
        "Past their bound",
        "Unanswered",
        "Stale",
        "Foreign",
    ] {
        assert_eq!(run.says(label), "0", "{label} in:\n{}", run.stdout);
    }
    run
}

#[test]
fn whatever_a_server_replies_nothing_panics_or_hangs_and_each_lookup_is_right() {
    let run = hostile(&["--points", "--short"]);
    assert_eq!(run.says("  failed"), "0", "{}", run.stdout);
    // Without these the run would show nothing.
    assert_eq!(run.says("  not reached"), "none", "{}", run.stdout);
}

#[test]
fn mutated_replies_give_no_stale_and_no_foreign_record_and_duplicates_are_noticed() {
    let run = hostile(&["--fuzz", "--short"]);
    let (noticed, rest) = run
        .says("Duplicates noticed")
        .split_once(" of ")
        .expect("two numbers");
    let (all, _) = rest.split_once(',').expect("a share");
    assert_eq!(noticed, all, "{}", run.stdout);
    assert_ne!(all, "0", "{}", run.stdout);
}

#[test]
fn an_unknown_case_is_refused_in_one_line() {
    let run = example::run(
        "hostile",
        &["--points", "--only", "hgetall/nonsense/single"],
        PATIENCE,
    );
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(
        run.stderr,
        "hostile: --only: there is no case hgetall/nonsense/single; see --list\n"
    );
}
