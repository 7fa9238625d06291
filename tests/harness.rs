//! The stampede harness: that it counts right, ends in time, and refuses clearly.
//!
//! With it, the promise of one load is tested across real processes. Where an exact number of loads is
//! asserted, a load takes long enough for every thread of a busy machine to ask before it ends, and where
//! nothing is cached, which leaves no second chance, there are fewer threads than connections.

use std::{
    env,
    io::Read,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Long enough for the slowest machine, short enough to notice a harness that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Run {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs the harness with a private server of its own, unless the arguments say otherwise.
fn stampede(args: &[&str]) -> Run {
    let mut child = Command::new(built())
        .args(args)
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the harness starts");
    let stdout = read(child.stdout.take().expect("it is piped"));
    let stderr = read(child.stderr.take().expect("it is piped"));
    // A pipe ends when the last process that writes to it has ended.
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(PATIENCE), stderr.recv_timeout(PATIENCE))
    else {
        interrupt(&mut child);
        panic!("the harness did not end within {PATIENCE:?}: {args:?}");
    };
    Run {
        status: child.wait().expect("it is ours"),
        stdout,
        stderr,
    }
}

/// The example beside this test: `target/<profile>/examples/stampede`.
fn built() -> PathBuf {
    let test = env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let path = profile
        .expect("tests lie in `deps` of their profile")
        .join("examples/stampede");
    assert!(
        path.exists(),
        "the harness is not built. Type:  cargo build --example stampede"
    );
    path
}

fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text)
            .expect("the harness writes text");
        let _ = send.send(text);
    });
    receive
}

/// As Ctrl-C does, so that it ends its server.
fn interrupt(child: &mut Child) {
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    let _ = child.wait();
}

impl Run {
    /// What the table says behind this label.
    fn says(&self, label: &str) -> &str {
        assert!(self.status.success(), "{}", self.stderr);
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(label))
            .unwrap_or_else(|| panic!("no line `{label}` in:\n{}", self.stdout))
            .trim()
    }

    fn must_say(&self, label: &str, text: &str) {
        assert_eq!(self.says(label), text, "in:\n{}", self.stdout);
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
        assert_eq!(self.status.code(), Some(1));
        assert_eq!(self.stdout, "");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with(begin), "{}", self.stderr);
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
    stampede(&["--redis-url", "redis://127.0.0.1:1"])
        .refuses_in_one_line("stampede: Redis failed at `connect`: ");
}
