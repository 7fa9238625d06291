//! The example of an outbox in SQLite: writers are killed between commit and invalidation, and each
//! of their records is invalidated within a second of its commit.
//!
//! A short form of `cargo run --example outbox -- --kills 100`. `CACHE_ASIDE_TEST_KILLS` sets
//! another number.

use std::{env, time::Duration};

use crate::{
    example::{self, Run},
    support::Server,
};

/// Longer than a run takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn run(args: &[&str]) -> Run {
    let server = Server::start();
    let url = server.url();
    let args = [&["--redis-url", &*url], args].concat();
    example::run("outbox", &args, PATIENCE)
}

#[test]
fn each_record_of_a_killed_writer_is_invalidated_within_a_second_of_its_commit() {
    let kills = env::var("CACHE_ASIDE_TEST_KILLS").unwrap_or_else(|_| "20".to_owned());
    let run = run(&["--kills", &kills]);
    println!("{}", run.stdout);
    // The example compares each time with a second itself.
    assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
    assert_eq!(run.says("Writers killed"), kills);
    assert_eq!(run.says("Records lost"), "0");
    assert_eq!(run.says("Entries left"), "0");
    assert_eq!(run.says("Relayed"), format!("{kills} entries, 0 errors"));
    // Otherwise there was nothing to invalidate.
    let old: u32 = run.says("Old records read").parse().unwrap();
    assert!(old > 0, "{}", run.stdout);
}

#[test]
fn without_the_relay_every_record_of_a_killed_writer_stays_old() {
    let run = run(&["--kills", "3", "--no-relay", "--patience", "300"]);
    assert_eq!(run.status.code(), Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(run.says("Records lost"), "3");
    assert_eq!(run.says("Entries left"), "3");
}
