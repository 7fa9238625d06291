//! The history checker on a cluster: nothing is stale where all replicas confirm what is ended, whatever happens to the
//! nodes; and where nothing happens, or slots are moved, not without that either.
//!
//! Short forms of what `cargo run --release --features cluster --example history -- --cluster` does at length.

use crate::checker::{Checked, history, is_found};

/// Six nodes and these on two cores, with room for others.
const SMALL: [&str; 7] = [
    "--cluster",
    "--processes",
    "3",
    "--threads",
    "6",
    "--rate",
    "1000",
];

fn on_a_cluster(args: &[&str]) -> Checked {
    history(&[&SMALL, args].concat())
}

#[test]
fn on_a_cluster_no_lookup_returns_what_was_there_before_a_write_that_had_ended() {
    on_a_cluster(&["--calm", "--seconds", "4"]).finds_nothing();
}

#[test]
fn nor_does_one_while_slots_are_moved() {
    let run = on_a_cluster(&["--only", "moves", "--seconds", "7"]);
    run.finds_nothing();
    assert!(run.0.stdout.contains("slot moved"), "{}", run.0.stdout);
}

#[test]
fn nor_while_replicas_take_over_that_confirm_what_is_ended() {
    let run = on_a_cluster(&["--only", "failovers", "--wait", "--seconds", "9"]);
    run.finds_nothing();
    assert!(run.counts("Failovers") > 0, "{}", run.0.stdout);
}

#[test]
fn with_near_caches_and_grace_neither() {
    let run = on_a_cluster(&["--near", "--grace", "--wait", "--seconds", "9"]);
    run.finds_nothing();
    for label in ["  near", "  stale"] {
        assert!(run.counts(label) > 0, "{label} in:\n{}", run.0.stdout);
    }
}

#[test]
fn where_they_do_not_confirm_only_what_a_failover_explains_is_stale() {
    on_a_cluster(&["--only", "failovers", "--seconds", "9"]).finds_nothing();
}

#[test]
fn under_tags_neither_while_their_slot_is_moved_and_replicas_take_over() {
    let run = on_a_cluster(&["--tags", "--near", "--wait", "--seconds", "9"]);
    run.finds_nothing();
    assert!(run.counts("  under tags") > 0, "{}", run.0.stdout);
}

#[test]
fn on_a_cluster_too_a_fill_that_does_not_look_at_its_token_is_found() {
    is_found(&["fill", "--cluster"]);
}
