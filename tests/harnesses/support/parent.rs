//! The parent's side of the messages between a process and its children; see
//! [`child`](crate::child).
//!
//! Children get lines on their stdin. They write lines of JSON on their stdout, each an `Ok` with a
//! message or an `Err` that says why the child cannot continue.

use std::{
    env,
    fmt::Debug,
    io::{self, BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::de::DeserializeOwned;

/// The child processes. Dropping this ends them.
#[derive(Default)]
pub(crate) struct Processes(Vec<Child>);

/// The parent's connection to one child.
pub(crate) struct Talk {
    tell: ChildStdin,
    heard: Lines<BufReader<ChildStdout>>,
}

impl Processes {
    /// Starts this many copies of this program, with the flag `--child`.
    pub(crate) fn start(count: u32) -> Result<(Processes, Vec<Talk>), String> {
        let mut processes = Processes::default();
        let talks = (0..count)
            .map(|_| processes.add())
            .collect::<Result<_, _>>();
        let talks = talks.map_err(|error| format!("a further process does not start: {error}"))?;
        Ok((processes, talks))
    }

    fn add(&mut self) -> io::Result<Talk> {
        let mut process = Command::new(env::current_exe()?)
            .arg("--child")
            // The parent sends the URL in the plan, and `--child` allows no other flags.
            .env_remove("REDIS_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().expect("it is piped");
        let stdout = process.stdout.take().expect("it is piped");
        self.0.push(process);
        Ok(Talk {
            tell: stdin,
            heard: BufReader::new(stdout).lines(),
        })
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Talk {
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.tell, "{line}").map_err(|_| lost())
    }

    /// The next message.
    pub(crate) fn hear<M: DeserializeOwned>(&mut self) -> Result<M, String> {
        let Some(Ok(line)) = self.heard.next() else {
            return Err(lost());
        };
        serde_json::from_str(&line)
            .unwrap_or_else(|error| Err(format!("a child process said something else: {error}")))
    }
}

/// A panic of the child has been printed on the stderr that it shares with this process.
fn lost() -> String {
    "a child process ended early".to_owned()
}

pub(crate) fn unexpected(message: &impl Debug) -> String {
    format!("a child process spoke out of turn: {message:?}")
}
