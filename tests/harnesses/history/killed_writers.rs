//! Writers that are killed after the commit of a unit of work, before they tell the cache.
//!
//! Each is a process of its own. Its guards keep readers from caching what is older. So some time
//! after the commit, every lookup must find the new versions, although nobody has invalidated them.

use std::{
    collections::VecDeque,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    thread, time,
    time::Duration,
};

use cache_aside::UnitOfWork;
use crossbeam::channel::{Receiver, RecvTimeoutError};

use crate::{
    caches,
    plan::{Committed, Instant, Message, Plan},
    primary::{Event, Primary},
    random::Random,
    recording::Recording,
};

/// From the commit on, nothing older is cached. But a lookup may share a load that began before the
/// commit, as during every write. No load takes this long.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// The pause between two writers.
const PAUSE: Duration = Duration::from_millis(5);

/// How many records only such writers write. Other writers would soon invalidate what is old.
pub(crate) const OF_KILLED_WRITERS: u32 = 3;

/// Starts such writers and kills them, one after the other, until `over` is closed. Returns how
/// many committed under guards. `plans`: one for each process, whose proxies they use in turn.
pub(crate) fn kill_writers(
    plans: &[Plan],
    mut primary: Primary,
    over: &Receiver<()>,
) -> Result<u64, String> {
    let mut killed = 0;
    let mut unsettled = VecDeque::new();
    for (number, plan) in (0..).zip(plans.iter().cycle()) {
        if over.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        if plan.audit.is_some_and(|audit| !audit.is_storm()) {
            continue;
        }
        let plan = Plan {
            is_killed: true,
            seed: plan.seed ^ number,
            ..plan.clone()
        };
        // A writer that could not connect, or set no guard, promises nothing.
        if let Some(committed) = committed_by_a_killed_process(&plan)?
            && committed.is_guarded
        {
            killed += 1;
            unsettled.push_back((time::Instant::now(), committed));
        }
        let is_due = |(at, _): &(time::Instant, Committed)| at.elapsed() > SETTLED_AFTER;
        while unsettled.front().is_some_and(is_due) {
            let (_, committed) = unsettled.pop_front().expect("there is one");
            settle(&mut primary, &plan, &committed);
        }
    }
    Ok(killed)
}

/// From now on, every lookup that begins must find these versions.
fn settle(primary: &mut Primary, plan: &Plan, committed: &Committed) {
    for (id, version) in &committed.versions {
        let event = Event {
            began: committed.began,
            ended: Instant::now(),
            process: plan.processes,
            thread: 0,
            version: *version,
            is_settled: true,
            what: "Unit: its process was killed after the commit".to_owned(),
        };
        primary.note(id, *version, &event);
    }
}

/// Runs a writer until it has committed, and kills it.
fn committed_by_a_killed_process(plan: &Plan) -> Result<Option<Committed>, String> {
    let mut process = Running(
        Command::new(env::current_exe().map_err(|error| error.to_string())?)
            .arg("--child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("a writer does not start: {error}"))?,
    );
    let mut stdin = process.0.stdin.take().expect("it is piped");
    let stdout = process.0.stdout.take().expect("it is piped");
    let line = serde_json::to_string(plan).expect("a plan is plain data");
    writeln!(stdin, "{line}").map_err(|error| format!("a writer ended early: {error}"))?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    Ok(match serde_json::from_str(&line) {
        Ok(Message::Committed(committed)) => Some(committed),
        _ => None,
    })
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does what such a writer does, until it is killed.
pub(crate) fn commit(
    plan: &Plan,
    tell: impl Fn(&Message) -> Result<(), String>,
) -> Result<(), String> {
    let recording = Recording::start(plan.record.as_deref())?;
    let cache = caches::of_a_killed_writer(plan, &recording)?;
    let mut primary = Primary::connect(&plan.primary)?;
    let mut random = Random::new(plan.seed, u64::from(plan.processes) << 32);
    let ids = (plan.keys - plan.of_killed_writers)..plan.keys;
    let ids: Vec<_> = ids.map(|key| format!("k{key}")).collect();
    let began = Instant::now();
    let mut unit = UnitOfWork::new();
    for id in &ids {
        unit.add(&cache, id).map_err(|error| error.to_string())?;
    }
    unit.guard();
    // What follows is not recorded: the kill would leave the log open.
    recording.close();
    random.pause(20);
    let versions = ids.iter().map(|id| (id.clone(), primary.commit(id)));
    tell(&Message::Committed(Committed {
        began,
        versions: versions.collect(),
        is_guarded: unit.guard_error().is_none(),
    }))?;
    // The parent kills this process. If the parent is lost, it ends by itself.
    thread::sleep(Duration::from_secs(20));
    Ok(())
}
