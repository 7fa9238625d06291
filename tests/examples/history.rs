//! The history checker: that it finds nothing where the protocol is kept, and finds each rule that is broken.
//!
//! Short forms of what `cargo run --release --example history` does at length. They end after a number of operations, so
//! that a busy machine does as many. Only what is about times and faults ends after seconds, at a fixed rate.

use crate::checker::{Checked, history, is_found, is_reported};

/// In four processes, this takes one to four seconds.
const ENOUGH: &str = "--operations=3000";

/// Does 1,000 operations a second at most. More would slow down the tests that run beside this one.
fn for_seconds(seconds: &str, flags: &[&str]) -> Checked {
    history(&[&["--seconds", seconds, "--rate", "1000"], flags].concat())
}

#[test]
fn no_lookup_returns_what_was_there_before_a_write_that_had_ended() {
    history(&["--calm", ENOUGH]).finds_nothing();
}

#[test]
fn no_lookup_does_so_where_requests_are_lost_and_late_and_the_server_comes_and_goes() {
    let run = for_seconds("4", &[]);
    run.finds_nothing();
    assert!(run.counts("  degraded") > 0, "{}", run.0.stdout);
}

#[test]
fn with_near_caches_nothing_is_older_than_the_bound_nor_than_what_its_process_wrote() {
    let run = history(&["--near", ENOUGH]);
    run.finds_nothing();
    assert!(run.counts("  near") > 0, "{}", run.0.stdout);
}

#[test]
fn with_grace_nothing_that_is_served_is_from_before_a_write_that_had_ended() {
    let run = history(&["--grace", ENOUGH]);
    run.finds_nothing();
    assert!(run.counts("  stale") > 0, "{}", run.0.stdout);
    assert!(run.counts("  refreshed") > 0, "{}", run.0.stdout);
}

#[test]
fn with_two_schemas_nothing_is_old_or_of_the_other_schema() {
    history(&["--schemas", "--grace", ENOUGH]).finds_nothing();
}

#[test]
fn with_all_of_it_neither() {
    history(&["--grace", "--near", ENOUGH]).finds_nothing();
}

/// Without this bound, a process that only looks at what is cached would be late for as long as a
/// record lives.
#[test]
fn with_an_address_that_is_moved_nothing_is_older_than_the_second_in_which_that_is_noticed() {
    for flags in [&["--moving-address"][..], &["--moving-address", "--near"]] {
        let run = for_seconds("6", flags);
        run.finds_nothing();
        assert!(run.counts("Moves") > 0, "{}", run.0.stdout);
        // How many there were depends on the moment of each move.
        run.counts("Late after moves");
    }
}

/// Leases and guards of dead processes are left at each step. So a lookup that waited until they
/// lapse by the clock would wait for all of its wait timeout, which is longer than any may take.
#[test]
fn with_a_clock_that_is_stepped_nothing_is_old_and_no_lookup_waits_for_what_is_dead() {
    for flags in [
        &["--clock-steps"][..],
        &["--clock-steps", "--grace", "--near"],
    ] {
        let run = for_seconds("8", flags);
        run.finds_nothing();
        let steps = |name| run.0.stdout.contains(name);
        assert!(
            steps("clock set back") && steps("clock set forward"),
            "{}",
            run.0.stdout
        );
    }
}

/// Loaders get versions, and read the primary where the replica is too old.
#[test]
fn with_loaders_that_read_a_replica_that_lags_nothing_older_is_read() {
    let run = history(&["--replica", ENOUGH]);
    run.finds_nothing();
    assert!(run.counts("    cached") > 0, "{}", run.0.stdout);
    history(&["--replica", "--grace", "--near", ENOUGH]).finds_nothing();
}

#[test]
fn under_tags_nothing_is_from_before_an_invalidation_of_one_of_them() {
    // Every second process has near caches.
    let run = history(&["--tags", "--near", "--calm", ENOUGH]);
    run.finds_nothing();
    assert!(run.counts("  under tags") > 0, "{}", run.0.stdout);
    assert!(run.counts("  near") > 0, "{}", run.0.stdout);
}

#[test]
fn nor_where_requests_are_lost_and_the_server_loses_its_tags_and_comes_and_goes() {
    for_seconds("6", &["--tags", "--near", "--grace"]).finds_nothing();
}

/// On a busy machine, such faults leave nothing to read near. Without faults there is.
#[test]
fn with_near_caches_in_every_second_process_neither() {
    history(&["--tags", "--near", ENOUGH]).finds_nothing();
}

#[test]
fn a_load_that_is_joined_without_a_look_at_its_clock_is_found() {
    is_found(&["tag-join"]);
}

#[test]
fn a_missing_tag_that_counts_as_never_invalidated_is_found() {
    // Without faults, this run loses tags all the time. With faults, few bursts lose a tag.
    is_found(&["tag-missing", "--calm"]);
}

#[test]
fn a_clock_of_tags_that_starts_again_in_the_same_epoch_is_found() {
    is_found(&["tag-epoch", "--calm"]);
}

#[test]
fn floors_that_are_forgotten_are_found() {
    is_found(&["floor"]);
}

#[test]
fn a_write_through_that_ignores_other_writers_is_found() {
    is_found(&["through"]);
}

/// Their guards keep old records out of the cache until they lapse.
#[test]
fn with_writers_that_are_killed_after_their_commit_nothing_older_is_read() {
    let run = for_seconds("6", &["--kill-writers"]);
    run.finds_nothing();
    assert!(run.counts("Writers killed") > 0, "{}", run.0.stdout);
}

#[test]
fn a_unit_of_work_without_guards_whose_writer_is_killed_is_found() {
    is_found(&["unit"]);
}

#[test]
fn a_lease_that_outlives_its_ttl_after_a_step_of_the_clock_is_found() {
    // Faults would hide it: a lookup whose request is lost stops waiting.
    is_found(&["clock", "--calm"]);
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
    is_found(&["single-flight"]);
}

#[test]
fn a_guard_that_keeps_its_nonce_is_found() {
    // Two writes of a record must overlap a load that is shared. That takes about 4,000 operations
    // if many threads of one process write few records, and up to 400,000 otherwise.
    let busy = "--calm --processes 1 --threads 64 --keys 2 --operations-per-write 2";
    let rule: Vec<_> = std::iter::once("nonce").chain(busy.split(' ')).collect();
    is_found(&rule);
}

#[test]
fn an_update_that_is_not_watched_is_found() {
    is_found(&["watch"]);
}

#[test]
fn an_audit_reports_nothing_where_the_protocol_is_kept() {
    for flags in [&[][..], &["--near"], &["--tags"], &["--replica"]] {
        let run = history(&[&["--audit", "--calm", "--operations", "4000"], flags].concat());
        assert!(run.0.status.success(), "{}{}", run.0.stdout, run.0.stderr);
        assert_eq!(run.says("Violations"), "none");
        assert!(run.counts("Audited hits") > 0, "{}", run.0.stdout);
    }
}

#[test]
fn an_audit_finds_an_old_load_that_was_cached() {
    is_reported(&["fill"]);
}

#[test]
fn an_audit_finds_what_a_lagging_replica_returned() {
    is_reported(&["floor"]);
}

#[test]
fn an_audit_finds_what_a_killed_writer_has_left() {
    is_reported(&["unit"]);
}

#[test]
fn an_audit_finds_a_near_record_that_nothing_evicts() {
    is_reported(&["push"]);
}

#[test]
fn an_audit_finds_a_record_under_a_tag_that_was_lost() {
    is_reported(&["tag-missing"]);
}

#[test]
fn an_audit_finds_a_record_of_an_epoch_that_came_back() {
    is_reported(&["tag-epoch"]);
}

#[cfg(not(feature = "cluster"))]
#[test]
fn a_cluster_without_its_feature_is_refused_in_one_line() {
    let run = history(&["--cluster"]);
    assert_eq!(run.0.status.code(), Some(2));
    assert_eq!(
        run.0.stderr,
        "history: for `--cluster`, build with `--features cluster`\n"
    );
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
