//! The demo server as a child process, and requests to it.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use ureq::Agent;

/// Longer than anything takes on a busy machine, short enough to see that something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running demo, that ends with this value.
pub(crate) struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// `http://127.0.0.1:<port>`
    pub(crate) url: String,
    agent: Agent,
}

impl Demo {
    /// Starts one on a free port, with the Redis of this address.
    pub(crate) fn start(redis_url: &str, args: &[&str]) -> Demo {
        let mut command = command();
        command.args(["--port", "0", "--redis-url", redis_url]);
        command.args(args);
        Demo::start_command(&mut command)
    }

    /// Starts one with this command.
    pub(crate) fn start_command(command: &mut Command) -> Demo {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example can be run");
        let stdout = child.stdout.take().expect("it is piped");
        let mut demo = Demo {
            child,
            stdout: BufReader::new(stdout),
            url: String::new(),
            agent: agent(),
        };
        let line = demo.next_line();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http"));
        let url = url.unwrap_or_else(|| panic!("no URL in the first line: {line:?}"));
        url.trim_end_matches('/').clone_into(&mut demo.url);
        demo
    }

    /// The next line the server prints; empty when it has ended.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .expect("the server prints text");
        line.trim_end().to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, form: &str) -> (u16, Value) {
        self.ask("POST", path, form)
    }

    /// Any method, any body; the answer must be JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, _, text) = self.ask_plain(method, path, body);
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{method} {path}: {error} in {text:?}"));
        (status, json)
    }

    /// Status, headers and text of an answer.
    pub(crate) fn ask_plain(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, ureq::http::HeaderMap, String) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("Content-Type", "application/x-www-form-urlencoded");
        let answer = if body.is_empty() {
            self.agent.run(request.body(()).expect("a fine request"))
        } else {
            self.agent.run(request.body(body).expect("a fine request"))
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), answer.headers().clone(), text)
    }

    /// A read that must succeed.
    pub(crate) fn read(&self, id: &str) -> Value {
        let (status, found) = self.get(&format!("/read?id={id}"));
        assert_eq!(status, 200, "{found}");
        found
    }

    /// Waits until this many reads of the primary have begun.
    pub(crate) fn until_reads(&self, reads: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/stats").1["primary_reads_total"] != reads {
            assert!(Instant::now() < deadline, "no {reads} reads begin");
            // The only way to learn the state of another process is to ask it.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends the signal of Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let status = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()
            .expect("`kill` is there");
        assert!(status.success());
    }

    /// What it printed as errors, if that is piped. Call it when the server has ended.
    pub(crate) fn stderr(&mut self) -> String {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut said).expect("text");
        said
    }

    /// The exit status, and how long the exit took.
    pub(crate) fn wait(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        (wait(&mut self.child).code(), began.elapsed())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The environment variables that stand for flags.
pub(crate) const VARIABLES: [&str; 9] = [
    "STORE",
    "PORT",
    "BIND",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "CACHE_TTL",
    "PRIMARY_LATENCY_MS",
    "THREADS",
];

/// The example as a user runs it, without the environment of the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(binary());
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the example where it should end by itself: status, standard output and standard error.
pub(crate) fn run(args: &[&str]) -> Output {
    let mut child = command()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be run");
    let status = wait(&mut child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let pipes = (child.stdout.take(), child.stderr.take());
    pipes.0.expect("piped").read_to_end(&mut stdout).unwrap();
    pipes.1.expect("piped").read_to_end(&mut stderr).unwrap();
    Output {
        status,
        stdout,
        stderr,
    }
}

/// Waits for a child, kills it where that takes too long.
fn wait(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not end");
        }
        // The standard library cannot wait for a child with a limit.
        thread::sleep(Duration::from_millis(5));
    }
}

/// An HTTP client for loopback: it uses no proxy, and every status is an answer.
pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build()
        .into()
}

/// Beside the tests, where cargo puts it.
fn binary() -> PathBuf {
    let test = env::current_exe().expect("a test is a program");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a test lies in target/<profile>/deps");
    let binary = profile.join("examples").join("server");
    let release = match profile.file_name() {
        Some(name) if name == "release" => " --release",
        _ => "",
    };
    assert!(
        binary.exists(),
        "the demo is not built. Type:  cargo build{release} --example server"
    );
    binary
}
