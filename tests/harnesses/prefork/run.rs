//! One run: the parent forks children, and then all of them work.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process, thread,
    time::Duration,
};

use crossbeam::channel;
use fork::{Fork, fork, waitpid};
use redis::{Client, cmd};

use crate::{
    args::Args,
    plan::{Plan, Tally, Violation},
    support::Server,
    workers::Workers,
};

/// Records. There are few, so that many operations meet at the same one.
const KEYS: u32 = 8;

/// Short, so that records expire, but still many round trips.
const LIFE: Duration = Duration::from_secs(1);

/// A child that takes this much longer than it should live hangs: no wait in it exceeds some
/// seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a child ends.
const CLEAN: i32 = 0;
const VIOLATION: i32 = 3;
const HUNG: i32 = 4;
const FAILED: i32 = 5;

/// What happened in a run.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) forks: u32,
    pub(crate) hung: u64,
    pub(crate) failed: u64,
    pub(crate) violations: u64,
}

impl Outcome {
    pub(crate) fn is_clean(&self) -> bool {
        self.hung == 0 && self.failed == 0 && self.violations == 0
    }

    fn add(&mut self, status: i32) {
        match status {
            CLEAN => {}
            VIOLATION => self.violations += 1,
            HUNG => self.hung += 1,
            _ => self.failed += 1,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Outcome, String> {
    let (server, primary) = (Server::try_start_on_port()?, Server::try_start_on_port()?);
    let plan = Plan {
        cache: server.url(),
        primary: primary.admin_url(),
        process: 0,
        processes: args.children + 1,
        threads: args.threads,
        keys: KEYS,
        operations_per_write: 8,
        pause: Duration::ZERO,
        wait_timeout: Duration::from_secs(1),
        longest_lookup: None,
        of_killed_writers: 0,
        schema: None,
        is_killed: false,
        near: args.near,
        replica: false,
        tags: false,
        grace: false,
        life: LIFE,
        replicas: 0,
        may_be_stale: false,
        may_be_late: None,
        only_peeks: false,
        operations: u64::MAX,
        longest: Some(Duration::from_secs(args.seconds)),
        seed: args.seed,
        record: None,
        audit: None,
    };
    let workers = Workers::new(plan.clone())?;
    // All of them before the parent sends its first request.
    let children = (1..=args.children).map(|child| fork_one(args, &plan, child));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    let mut outcome = Outcome {
        forks: args.children,
        ..Outcome::default()
    };
    outcome.add(work(&workers));
    for child in children {
        outcome.add(status_of(child)?);
    }
    outcome.tally.add(&sent(&plan.primary)?);
    Ok(outcome)
}

/// Forks a child that works. Returns its process id.
fn fork_one(args: &Args, plan: &Plan, process: u32) -> Result<i32, String> {
    let plan = Plan {
        process,
        seed: args.seed ^ (u64::from(process) << 40),
        ..plan.clone()
    };
    match fork().map_err(|error| format!("no child could be forked: {error}"))? {
        Fork::Child => live(plan),
        Fork::Parent(child) => Ok(child),
    }
}

/// Waits for the end of a child.
fn status_of(child: i32) -> Result<i32, String> {
    let status = waitpid(child).map_err(|error| error.to_string())?;
    // The second byte is the exit status. The first is the signal that ended the child.
    Ok(if status % 256 == 0 {
        status / 256
    } else {
        FAILED
    })
}

/// The life of a child. Never returns to the code of the parent.
fn live(plan: Plan) -> ! {
    let longest = plan.longest.unwrap_or_default() + PATIENCE;
    thread::spawn(move || {
        thread::sleep(longest);
        eprintln!("prefork: the child {} hangs", process::id());
        process::exit(HUNG);
    });
    let status = catch_unwind(AssertUnwindSafe(|| match Workers::new(plan) {
        Ok(workers) => work(&workers),
        Err(why) => {
            eprintln!("prefork: {why}");
            FAILED
        }
    }));
    process::exit(status.unwrap_or(FAILED));
}

/// Works until the time of the plan is over. Returns how that ended.
fn work(workers: &Workers) -> i32 {
    let found = workers.work(&channel::never(), |_| Ok(()));
    let ended = found.and_then(|found| send(&workers.plan.primary, &workers.end()).map(|()| found));
    match ended {
        Ok(None) => CLEAN,
        Ok(Some(violation)) => {
            print(&violation);
            VIOLATION
        }
        Err(why) => {
            eprintln!("prefork: {why}");
            FAILED
        }
    }
}

fn print(violation: &Violation) {
    eprintln!("prefork: {} {violation:?}", process::id());
}

/// Sends what this process did to the parent.
fn send(primary: &str, tally: &Tally) -> Result<(), String> {
    let text = serde_json::to_string(tally).expect("a tally is plain data");
    let mut add = cmd("RPUSH");
    add.arg("tallies").arg(text);
    let sent = Client::open(primary).and_then(|client| add.exec(&mut client.get_connection()?));
    sent.map_err(|error| error.to_string())
}

/// The sum of what all processes did.
fn sent(primary: &str) -> Result<Tally, String> {
    let mut all = cmd("LRANGE");
    all.arg("tallies").arg(0).arg(-1);
    let texts = Client::open(primary).and_then(|client| all.query(&mut client.get_connection()?));
    let texts: Vec<String> = texts.map_err(|error| error.to_string())?;
    let mut sum = Tally::default();
    for text in texts {
        sum.add(&serde_json::from_str(&text).map_err(|error| error.to_string())?);
    }
    Ok(sum)
}
