//! Runs of the examples, as a user starts them.

use std::{
    env,
    io::Read,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the example with a private server of its own, unless the arguments say otherwise.
pub(crate) fn run(example: &str, args: &[&str], patience: Duration) -> Run {
    let mut child = Command::new(built(example))
        .args(args)
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let stdout = read(child.stdout.take().expect("it is piped"));
    let stderr = read(child.stderr.take().expect("it is piped"));
    // A pipe ends when the last process that writes to it has ended.
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(patience), stderr.recv_timeout(patience))
    else {
        interrupt(&mut child);
        panic!("`{example}` did not end within {patience:?}: {args:?}");
    };
    Run {
        status: child.wait().expect("it is ours"),
        stdout,
        stderr,
    }
}

/// The example beside this test: `target/<profile>/examples/…`.
fn built(example: &str) -> PathBuf {
    let test = env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let path = profile
        .expect("tests lie in `deps` of their profile")
        .join("examples")
        .join(example);
    assert!(
        path.exists(),
        "the example is not built. Type:  cargo build --example {example}"
    );
    path
}

fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text)
            .expect("the example writes text");
        let _ = send.send(text);
    });
    receive
}

/// Sends the signal of Ctrl-C, so that it stops its servers.
fn interrupt(child: &mut Child) {
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    let _ = child.wait();
}

impl Run {
    /// The text after this label in the table.
    pub(crate) fn says(&self, label: &str) -> &str {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(label))
            .unwrap_or_else(|| panic!("no line `{label}` in:\n{}{}", self.stdout, self.stderr))
            .trim()
    }
}
