//! The history checker: that it finds nothing where the protocol is kept, and finds each rule that is broken.
//!
//! Short forms of what `cargo run --release --example history` does at length.

use std::{
    env,
    io::Read,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Run {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

fn history(args: &[&str]) -> Run {
    // Each run has as many threads as a small machine can bear.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = Command::new(built())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the checker starts");
    let stdout = read(child.stdout.take().expect("it is piped"));
    let stderr = read(child.stderr.take().expect("it is piped"));
    // A pipe ends when the last process that writes to it has ended.
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(PATIENCE), stderr.recv_timeout(PATIENCE))
    else {
        interrupt(&mut child);
        panic!("the checker did not end within {PATIENCE:?}: {args:?}");
    };
    Run {
        status: child.wait().expect("it is ours"),
        stdout,
        stderr,
    }
}

/// The example beside this test: `target/<profile>/examples/history`.
fn built() -> PathBuf {
    let test = env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let path = profile
        .expect("tests lie in `deps` of their profile")
        .join("examples/history");
    assert!(
        path.exists(),
        "the checker is not built. Type:  cargo build --example history"
    );
    path
}

fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text)
            .expect("the checker writes text");
        let _ = send.send(text);
    });
    receive
}

/// As Ctrl-C does, so that it ends its servers.
fn interrupt(child: &mut Child) {
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    let _ = child.wait();
}

impl Run {
    /// What the table says behind this label.
    fn says(&self, label: &str) -> &str {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(label))
            .unwrap_or_else(|| panic!("no line `{label}` in:\n{}{}", self.stdout, self.stderr))
            .trim()
    }

    /// The number at the beginning of what it says.
    fn counts(&self, label: &str) -> u64 {
        let first = self.says(label).split_whitespace().next();
        first.and_then(|word| word.parse().ok()).expect("a number")
    }

    fn finds_nothing(&self) {
        assert!(self.status.success(), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.says("Violations"), "none");
        // Without these the run would have shown nothing.
        for label in ["  hit", "  loaded", "  waited", "Writes", "Refused fills"] {
            assert!(self.counts(label) > 0, "{label} in:\n{}", self.stdout);
        }
    }
}

/// Ends as soon as it is found: within seconds, mostly.
fn is_found(rule: &[&str]) {
    let bound = ["--seconds", "60", "--operations", "10000000"];
    let run = history(&[&["--break"], rule, &bound].concat());
    assert_eq!(run.status.code(), Some(1), "{}{}", run.stdout, run.stderr);
    let violations = [
        "older than a write whose invalidation had returned",
        // A part of a record, which an update set in the place of one that had gone.
        "a record that never was",
    ];
    assert!(
        violations.contains(&run.says("Violation")),
        "{}",
        run.stdout
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
    assert!(run.counts("  degraded") > 0, "{}", run.stdout);
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
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(
        run.stderr,
        "history: unexpected argument '--process' found (try --help)\n"
    );
}
