//! The processes of a run with more than one: the parent's side and the child's side of their talk.
//!
//! ```text
//! parent → child   the plan                        one line of JSON on stdin
//! child  → parent  "Connected"                     lines of JSON on stdout
//!                  "Ready"       each round: all my readers stand at the gate
//! parent → child   go            to all, once all are ready
//! child  → parent  {"Seen": …}   what my readers saw
//! ```
//!
//! A child whose stdin ends has lost its parent, and ends at once, whatever it is doing.

use std::{
    env,
    io::{self, BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    child::{lines_until_orphaned, say},
    crew::Crew,
    plan::{Plan, Seen},
};

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Connected,
    Ready,
    Seen(Seen),
    /// It cannot go on.
    Failed(String),
}

/// The parent's ends of the talk with all children.
pub(crate) struct Children(Vec<Talk>);

struct Talk {
    tell: ChildStdin,
    heard: Lines<BufReader<ChildStdout>>,
}

/// The processes themselves. Dropped, they are ended.
#[derive(Default)]
pub(crate) struct Processes(Vec<Child>);

impl Children {
    /// Starts as many as the plan says, and waits until all have connected. The caller gets the processes
    /// before they can do anything that needs tidying up.
    pub(crate) fn start(plan: &Plan, keep: impl FnOnce(Processes)) -> Result<Children, String> {
        let plan_line = serde_json::to_string(plan).expect("a plan is plain data");
        let mut processes = Processes::default();
        let mut children = Children(Vec::new());
        for _ in 0..plan.processes {
            let talk = processes
                .add()
                .map_err(|error| format!("a further process does not start: {error}"))?;
            children.0.push(talk);
        }
        keep(processes);
        for talk in &mut children.0 {
            talk.tell(&plan_line)?;
        }
        for talk in &mut children.0 {
            match talk.hear()? {
                Message::Connected => {}
                other => return Err(unexpected(&other)),
            }
        }
        Ok(children)
    }

    /// Runs one round; what the readers of each process saw.
    pub(crate) fn round(&mut self) -> Result<Vec<Seen>, String> {
        for talk in &mut self.0 {
            match talk.hear()? {
                Message::Ready => {}
                other => return Err(unexpected(&other)),
            }
        }
        for talk in &mut self.0 {
            talk.tell("go")?;
        }
        // One after the other: a child whose line does not fit into the pipe waits, its round is over.
        self.0
            .iter_mut()
            .map(|talk| match talk.hear()? {
                Message::Seen(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            })
            .collect()
    }
}

impl Processes {
    fn add(&mut self) -> io::Result<Talk> {
        let mut process = Command::new(env::current_exe()?)
            .arg("--child")
            // The address is in the plan, and `--child` stands alone.
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
    fn tell(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.tell, "{line}").map_err(|_| lost())
    }

    fn hear(&mut self) -> Result<Message, String> {
        let Some(Ok(line)) = self.heard.next() else {
            return Err(lost());
        };
        match serde_json::from_str(&line) {
            Ok(Message::Failed(why)) => Err(why),
            Ok(message) => Ok(message),
            Err(error) => Err(format!("a child process said something else: {error}")),
        }
    }
}

/// A panic of the child has told its story on the stderr it shares with this process.
fn lost() -> String {
    "a child process ended early".to_owned()
}

fn unexpected(message: &Message) -> String {
    format!("a child process spoke out of turn: {message:?}")
}

/// The child's whole life.
pub(crate) fn live() -> Result<(), String> {
    // Ctrl-C reaches every process of a terminal. The parent tidies up and ends, and so will this one.
    ctrlc::set_handler(|| {}).map_err(|error| error.to_string())?;
    let told = lines_until_orphaned();
    let hear = || told.recv().map_err(|error| error.to_string());

    let outcome = hear().and_then(|line| {
        let plan: Plan = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let rounds = plan.rounds;
        let crew = Crew::new(plan)?;
        say(&Message::Connected)?;
        for round in 0..rounds {
            let seen = crew.round(round, || {
                say(&Message::Ready)?;
                hear().map(drop)
            })?;
            say(&Message::Seen(seen))?;
        }
        Ok(())
    });
    // The parent says what failed, to its user.
    outcome.or_else(|why| say(&Message::Failed(why)))
}
