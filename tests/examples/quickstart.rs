//! The first example: what it prints, with both stores.

use std::time::Duration;

use crate::example::{self, Run};
use crate::support::Server;

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(args: &[&str]) -> Run {
    example::run("quickstart", args, PATIENCE)
}

/// What a run printed, without the times in brackets.
fn lines(run: &Run) -> Vec<&str> {
    assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
    let lines = run.stdout.lines();
    lines.map(|line| line.split(" (").next().unwrap()).collect()
}

fn shows_a_load_a_hit_and_the_new_record(run: &Run) {
    assert_eq!(run.stderr, "");
    assert_eq!(
        lines(run),
        [
            "loaded   Sourdough loaf, 749 cents",
            "hit      Sourdough loaf, 749 cents",
            "write    the new price is 699 cents",
            "loaded   Sourdough loaf, 699 cents",
        ]
    );
}

#[test]
fn without_arguments_it_needs_no_server() {
    shows_a_load_a_hit_and_the_new_record(&run(&[]));
}

#[test]
fn with_an_address_it_caches_in_redis_and_can_be_run_again() {
    let server = Server::start_on_port();
    let url = server.url();
    shows_a_load_a_hit_and_the_new_record(&run(&[&url]));
    let price: String = redis::cmd("HGET")
        .arg("quickstart:product:p-001")
        .arg("price_cents")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(price, "699");

    // The record of the first run is still there.
    shows_a_load_a_hit_and_the_new_record(&run(&[&url]));
    server.assert_every_key_expires();
}

/// Each read goes to the primary. The write succeeds, although its invalidation is late.
#[test]
fn where_no_server_answers_it_reads_and_writes_the_primary() {
    // No server listens on port 1.
    let run = run(&["redis://127.0.0.1:1"]);
    assert_eq!(
        lines(&run),
        [
            "Redis does not answer, so each read goes to the primary",
            "degraded Sourdough loaf, 749 cents",
            "degraded Sourdough loaf, 749 cents",
            "write    the new price is 699 cents",
            "degraded Sourdough loaf, 699 cents",
        ]
    );
    let late = "the invalidation is late: request `invalidate` to 127.0.0.1:1 failed: ";
    assert!(run.stderr.starts_with(late), "{}", run.stderr);
    let cause = "Connection refused (os error 111)";
    assert_eq!(run.stderr.matches(cause).count(), 1, "{}", run.stderr);
}
