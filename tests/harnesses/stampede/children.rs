//! The processes of a run with several: the parent's side and the child's side of their messages.
//!
//! ```text
//! parent -> child   the plan                        one line of JSON on stdin
//! child  -> parent  "Connected"                     lines of JSON on stdout, each in an `Ok`
//!                   "Ready"       each round: all readers of the child wait at the gate
//! parent -> child   go            to all, once all are ready
//! child  -> parent  {"Seen": ...}  what the readers of the child saw
//! ```
//!
//! A child whose stdin ends has lost its parent, and ends at once, whatever it is doing.

use serde::{Deserialize, Serialize};

use crate::{
    child::{lines_until_orphaned, say},
    parent::{Processes, Talk, unexpected},
    plan::{Plan, Seen},
    workers::Workers,
};

/// A message of a child.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Connected,
    Ready,
    Seen(Seen),
}

/// The parent's connections to all children.
pub(crate) struct Children(Vec<Talk>);

impl Children {
    /// Starts as many children as the plan says, and waits until all have connected. The caller
    /// gets the processes before they can do anything that must be cleaned up.
    pub(crate) fn start(plan: &Plan, keep: impl FnOnce(Processes)) -> Result<Children, String> {
        let plan_line = serde_json::to_string(plan).expect("a plan is plain data");
        let (processes, talks) = Processes::start(plan.processes)?;
        keep(processes);
        let mut children = Children(talks);
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

    /// Runs one round. Returns what the readers of each process saw.
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
        // One after the other. A child whose line does not fit into the pipe waits, but its round
        // is over.
        self.0
            .iter_mut()
            .map(|talk| match talk.hear()? {
                Message::Seen(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            })
            .collect()
    }
}

/// Runs a child from its start to its end.
pub(crate) fn live() -> Result<(), String> {
    // Ctrl-C reaches every process of a terminal. The parent cleans up and ends, and this process
    // ends with it.
    ctrlc::set_handler(|| {}).map_err(|error| error.to_string())?;
    let told = lines_until_orphaned();
    let hear = || told.recv().map_err(|error| error.to_string());
    let tell = |message: Message| say(&Ok::<_, String>(message));

    let outcome = hear().and_then(|line| {
        let plan: Plan = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let rounds = plan.rounds;
        let workers = Workers::new(plan)?;
        tell(Message::Connected)?;
        for round in 0..rounds {
            let seen = workers.round(round, || {
                tell(Message::Ready)?;
                hear().map(drop)
            })?;
            tell(Message::Seen(seen))?;
        }
        Ok(())
    });
    // The parent reports the failure to its user.
    outcome.or_else(|why| say(&Err::<Message, _>(why)))
}
