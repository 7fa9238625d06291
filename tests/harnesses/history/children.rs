//! The processes of a run: the parent's side and the child's side of their messages.
//!
//! ```text
//! parent -> child   its plan                        one line of JSON on stdin
//! child  -> parent  "Connected"                     lines of JSON on stdout
//! parent -> child   go            to all, once all have connected
//! child  -> parent  {"Progress": ...}, {"Stale": ...}, at the end "Done" or {"Violation": ...}
//! parent -> child   stop          to all, if a recorded run has found a violation
//! parent -> child   calm          to all, once all are done and the faults have ended
//! child  -> parent  {"Ended": ...}  what the threads of the child did
//! ```
//!
//! A child whose stdin ends has lost its parent, and ends at once, whatever it is doing.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use crate::{
    child::{lines_until_orphaned, say},
    killed_writers,
    plan::{Message, Plan},
    workers::Workers,
};

/// The parent's connections to all children. Dropping it ends the children.
pub(crate) struct Children {
    processes: Vec<Child>,
    tell: Vec<ChildStdin>,
    heard: Receiver<(usize, Result<Message, String>)>,
}

impl Children {
    pub(crate) fn start(plans: &[Plan]) -> Result<Children, String> {
        let (send, heard) = channel::unbounded();
        let mut children = Children {
            processes: Vec::new(),
            tell: Vec::new(),
            heard,
        };
        for (number, plan) in plans.iter().enumerate() {
            children
                .add(number, &send)
                .map_err(|error| format!("a further process does not start: {error}"))?;
            let line = serde_json::to_string(plan).expect("a plan is plain data");
            writeln!(children.tell[number], "{line}").map_err(|_| lost())?;
        }
        Ok(children)
    }

    fn add(
        &mut self,
        number: usize,
        send: &Sender<(usize, Result<Message, String>)>,
    ) -> io::Result<()> {
        let mut process = Command::new(env::current_exe()?)
            .arg("--child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        self.tell.push(process.stdin.take().expect("it is piped"));
        let stdout = process.stdout.take().expect("it is piped");
        self.processes.push(process);
        let send = send.clone();
        thread::Builder::new().spawn(move || listen(number, stdout, &send))?;
        Ok(())
    }

    pub(crate) fn tell_all(&mut self, word: &str) -> Result<(), String> {
        for child in &mut self.tell {
            writeln!(child, "{word}").map_err(|_| lost())?;
        }
        Ok(())
    }

    /// The next message of any child, and the child's number. `None`: there was none within
    /// `patience`.
    pub(crate) fn hear(&self, patience: Duration) -> Result<Option<(usize, Message)>, String> {
        match self.heard.recv_timeout(patience) {
            Ok((_, Ok(Message::Failed(why)) | Err(why))) => Err(why),
            Ok((number, Ok(message))) => Ok(Some((number, message))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(lost()),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Passes on the messages of a child until it ends. That is too early unless it has reported its
/// end.
fn listen(number: usize, stdout: ChildStdout, send: &Sender<(usize, Result<Message, String>)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let message = serde_json::from_str(&line)
            .map_err(|error| format!("a child process said something else: {error}"));
        let is_last = matches!(message, Ok(Message::Ended(_)));
        let _ = send.send((number, message));
        if is_last {
            return;
        }
    }
    let _ = send.send((number, Err(lost())));
}

/// A panic of the child has already been printed on the stderr that it shares with this process.
fn lost() -> String {
    "a child process ended early".to_owned()
}

/// Runs a child from its start to its end.
pub(crate) fn live() -> Result<(), String> {
    // Ctrl-C reaches every process of a terminal. The parent cleans up and ends, and this process
    // ends with it.
    ctrlc::set_handler(|| {}).map_err(|error| error.to_string())?;
    let told = lines_until_orphaned();
    let hear = || told.recv().map_err(|error| error.to_string());

    let outcome = hear().and_then(|line| {
        let plan: Plan = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if plan.is_killed {
            return killed_writers::commit(&plan, say);
        }
        let workers = Workers::new(plan)?;
        say(&Message::Connected)?;
        hear()?;
        match workers.work(&told, say)? {
            Some(violation) => say(&Message::Violation(Box::new(violation)))?,
            None => say(&Message::Done)?,
        }
        hear()?;
        say(&Message::Ended(Box::new(workers.end())))
    });
    // The parent reports the failure to its user.
    outcome.or_else(|why| say(&Message::Failed(why)))
}
