//! The stampede harness: that it counts right, ends in time, and refuses clearly.
//!
//! With it, the promise of one load is tested across real processes. Where an exact number of loads is
//! asserted, a load takes long enough for every thread of a busy machine to ask before it ends, and where
//! nothing is cached, which leaves no second chance, there are fewer threads than connections.

use std::time::Duration;

use crate::example::{self, Run};

/// Long enough for the slowest machine, short enough to notice a harness that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn stampede(args: &[&str]) -> Harness {
    Harness(example::run("stampede", args, PATIENCE))
}

struct Harness(Run);

impl Harness {
    fn says(&self, label: &str) -> &str {
        assert!(self.0.status.success(), "{}", self.0.stderr);
        self.0.says(label)
    }

    fn must_say(&self, label: &str, text: &str) {
        assert_eq!(self.says(label), text, "in:\n{}", self.0.stdout);
    }

    /// How often a command was sent.
    fn calls(&self, command: &str) -> u32 {
        let (calls, _) = self.says(command).split_once(' ').expect("a number");
        calls.parse().expect("a number")
    }

    /// The largest of a line of durations, in milliseconds.
    fn longest_ms(&self, label: &str) -> f64 {
        let words: Vec<_> = self.says(label).split_whitespace().collect();
        let [.., figure, unit] = words[..] else {
            panic!("no duration behind `{label}`");
        };
        let figure: f64 = figure.parse().expect("a number");
        match unit {
            "µs" => figure / 1e3,
            "ms" => figure,
            "s" => figure * 1e3,
            _ => panic!("`{unit}` is no unit"),
        }
    }

    fn refuses_in_one_line(&self, begin: &str) {
        assert_eq!(self.0.status.code(), Some(1));
        assert_eq!(self.0.stdout, "");
        assert_eq!(self.0.stderr.lines().count(), 1, "{}", self.0.stderr);
        assert!(self.0.stderr.starts_with(begin), "{}", self.0.stderr);
    }
}

#[test]
fn a_hundred_readers_in_four_processes_cost_one_load() {
    let run = stampede(&[
        "--processes",
        "4",
        "--threads",
        "25",
        "--rounds",
        "1",
        "--load-ms",
        "600",
    ]);
    run.must_say("Loads", "1 load");
    run.must_say(
        "Answers",
        "0 hit, 1 loaded, 99 waited, 0 degraded, 0 errors",
    );
    run.must_say("  HGETALL", "100       1.00");
}

#[test]
fn a_follower_of_the_same_process_costs_two_requests() {
    let run = stampede(&["--threads", "12", "--rounds", "1", "--load-ms", "600"]);
    run.must_say("Loads", "1 load");
    run.must_say("  HGETALL", "12       1.00");
    // An acquire for each and a fill. On a busy machine the load outlasts a third of the lease, which is
    // then renewed.
    let evalsha = run.says("  EVALSHA");
    assert!(
        ["13       1.08", "14       1.17"].contains(&evalsha),
        "{evalsha}"
    );
}

#[test]
fn a_thousand_readers_of_one_process_cost_one_load_and_two_requests_each() {
    let run = stampede(&["--threads", "1000", "--rounds", "1", "--load-ms", "3000"]);
    run.must_say("Loads", "1 load");
    run.must_say(
        "Answers",
        "0 hit, 1 loaded, 999 waited, 0 degraded, 0 errors",
    );
    run.must_say("  HGETALL", "1000       1.00");
    // One for each, a fill, and a renewal every third of the lease; a busy machine makes more of those.
    let calls = run.calls("  EVALSHA");
    assert!((1001..=1015).contains(&calls), "{calls}");
    // Without others on the machine it is less than a twentieth of that.
    assert!(run.longest_ms("Wake-up, same process") < 1000.0);
}

#[test]
fn processes_that_are_woken_ask_again_when_the_load_has_ended_and_not_before() {
    let run = stampede(&[
        "--tracking",
        "--processes",
        "3",
        "--threads",
        "10",
        "--rounds",
        "1",
        "--load-ms",
        "600",
    ]);
    run.must_say("Loads", "1 load");
    run.must_say(
        "Answers",
        "0 hit, 1 loaded, 29 waited, 0 degraded, 0 errors",
    );
    // One for each, a fill, and one each that the fill wakes; a renewal wakes them, too. Polling it would be 70.
    let calls = run.calls("  EVALSHA");
    assert!((31..=42).contains(&calls), "{calls}");
}

#[test]
fn readers_of_a_record_that_does_not_exist_share_one_load_and_its_time() {
    let run = stampede(&[
        "--missing",
        "--threads",
        "12",
        "--rounds",
        "2",
        "--load-ms",
        "600",
    ]);
    run.must_say("Loads", "2 loads in 2 rounds, 1 each");
    // One after the other they would take seven seconds.
    assert!(run.longest_ms("Until all are answered") < 3000.0);
}

#[test]
fn readers_of_a_failing_primary_share_one_load_and_its_error() {
    let run = stampede(&[
        "--failing",
        "--threads",
        "12",
        "--rounds",
        "2",
        "--load-ms",
        "600",
    ]);
    run.must_say("Loads", "2 loads in 2 rounds, 1 each");
    run.must_say(
        "Answers",
        "0 hit, 0 loaded, 0 waited, 0 degraded, 24 errors (24 the loader's own)",
    );
    // One after the other they would take seven seconds.
    assert!(run.longest_ms("Until all are answered") < 3000.0);
}

#[test]
fn processes_that_find_nothing_load_once_each() {
    for how in ["--missing", "--failing"] {
        let run = stampede(&[
            how,
            "--processes",
            "3",
            "--threads",
            "6",
            "--rounds",
            "1",
            "--load-ms",
            "600",
        ]);
        run.must_say("Loads", "3 loads");
    }
}

#[test]
fn without_protection_there_is_more_than_one_load() {
    let run = stampede(&["--no-protection", "--processes", "2", "--rounds", "1"]);
    let (loads, _) = run.says("Loads").split_once(' ').expect("a number");
    assert!(loads.parse::<u32>().expect("a number") > 1);
}

#[test]
fn a_wrong_flag_is_refused_in_one_line() {
    stampede(&["--reders", "5"])
        .refuses_in_one_line("stampede: unexpected argument '--reders' found (try --help)");
}

#[test]
fn an_unreachable_server_is_refused_in_one_line() {
    // Nobody listens on port 1.
    stampede(&["--redis-url", "redis://127.0.0.1:1"]).refuses_in_one_line(
        "stampede: request `connect` to 127.0.0.1:1 failed: Connection refused",
    );
}
