//! The processes of a run: the parent's side and the child's side of their messages.
//!
//! ```text
//! parent -> child   the plan, and its number        a line of JSON on stdin
//! child  -> parent  "Ready"         each run        lines of JSON on stdout, each in an `Ok`
//! parent -> child   the start time  to all, once all are ready
//! child  -> parent  {"Read": ...}   what the readers of the child saw
//! ```
//!
//! A child whose stdin ends has lost its parent, and ends at once, whatever it is doing.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    child::{lines_until_orphaned, say},
    instant::Instant,
    parent::{Processes, Talk, unexpected},
    plan::{Plan, Read},
    workers::Workers,
};

/// A message of a child.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Ready,
    Read(Vec<Read>),
}

/// The parent's connections to all children.
pub(crate) struct Children(Vec<Talk>);

impl Children {
    /// Starts as many children as the plan says. The caller gets the processes before they can do
    /// anything that must be cleaned up.
    pub(crate) fn start(plan: &Plan, keep: impl FnOnce(Processes)) -> Result<Children, String> {
        let (processes, mut talks) = Processes::start(plan.processes)?;
        keep(processes);
        for (number, talk) in talks.iter_mut().enumerate() {
            talk.tell(&json(&(plan, number)))?;
        }
        Ok(Children(talks))
    }

    /// Begins a run when all children are ready.
    pub(crate) fn begin(&mut self) -> Result<Instant, String> {
        for talk in &mut self.0 {
            match talk.hear()? {
                Message::Ready => {}
                other @ Message::Read(_) => return Err(unexpected(&other)),
            }
        }
        let start = Instant::now();
        for talk in &mut self.0 {
            talk.tell(&json(&start))?;
        }
        Ok(start)
    }

    /// Waits for the end of the run. Returns all reads, in no order.
    pub(crate) fn end(&mut self) -> Result<Vec<Read>, String> {
        let mut all = Vec::new();
        // One after the other. A child whose line does not fit into the pipe waits, but its run is
        // over.
        for talk in &mut self.0 {
            match talk.hear()? {
                Message::Read(reads) => all.extend(reads),
                other @ Message::Ready => return Err(unexpected(&other)),
            }
        }
        Ok(all)
    }
}

fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).expect("what is told is plain data")
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
        let (plan, number): (Plan, _) = read(&line)?;
        let runs = plan.runs.len();
        let workers = Workers::new(plan, number)?;
        for run in 0..runs {
            let reads = workers.run(run, || {
                tell(Message::Ready)?;
                read(&hear()?)
            })?;
            tell(Message::Read(reads))?;
        }
        Ok(())
    });
    // The parent reports the failure to its user.
    outcome.or_else(|why| say(&Err::<Message, _>(why)))
}

fn read<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}
