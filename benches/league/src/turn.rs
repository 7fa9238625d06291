//! One turn: a worker in three processes, for some seconds, in one scenario.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Arc, atomic::AtomicU16, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    conversation::{Conversation, End, Ends, ROWS, Slot, THREADS, Tally},
    faults::Bursts,
    ledger::{Ledger, Sums},
    peer::Peer,
    primary::Primary,
    proxy::Proxy,
    random::Random,
    support::{Server, acl::url_at},
};

/// The processes of a worker.
pub(crate) const PROCESSES: usize = 3;

/// The share of a turn in which there are lookups and no more writes: what is stale then stays so.
pub(crate) const AFTER_WRITES: u32 = 6;

/// How long a request may be under way at the end. Longer than the lock of any peer: locks
/// that outlive their process end after 2 s.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long a process may take to become ready, even on a busy machine.
const STARTED: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Lookups, loads and writes meet, and nothing fails.
    Races,
    /// Also, connections to Redis are cut and delayed in bursts.
    Connections,
    /// Also, processes are killed in the middle of requests. No connection fails otherwise.
    Deaths,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 3] =
        [Scenario::Races, Scenario::Connections, Scenario::Deaths];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Races => "races only",
            Scenario::Connections => "connection faults",
            Scenario::Deaths => "process deaths",
        }
    }
}

/// What happened in a turn.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) sums: Sums,
    /// The processes that the judge killed.
    pub(crate) deaths: u64,
    pub(crate) length: Duration,
}

/// Runs a turn. The seed decides when writes and faults happen, and to which records and processes.
pub(crate) fn run(
    peer: &Peer,
    scenario: Scenario,
    length: Duration,
    seed: u64,
) -> Result<Outcome, String> {
    let server = Server::try_start_on_port()?;
    let folder = Folder::new()?;
    let ledger = Arc::new(Ledger::new(ROWS));
    let socket = folder.socket();
    let _primary =
        Primary::serve(&socket, &ledger, seed).map_err(|error| format!("the primary: {error}"))?;
    let port = Arc::new(AtomicU16::new(server.port()));
    let bursts: [Arc<Bursts>; PROCESSES] = Default::default();
    let slots: [Slot; PROCESSES] = Default::default();
    let mut commands = Vec::new();
    for (seed, bursts) in (seed..).zip(&bursts) {
        let proxy = Proxy::before(&port, bursts, &[], seed).map_err(|error| error.to_string())?;
        let (url, socket) = (url_at(proxy.port()), socket.clone());
        commands.push(move || command(peer, &url, &socket, THREADS));
    }
    let mut tally = Tally::default();
    let mut deaths = 0;
    thread::scope(|scope| {
        let (ready, readiness) = mpsc::channel();
        let (mut talks, mut starts) = (Vec::new(), Vec::new());
        for (number, (slot, command)) in (0..).zip(slots.iter().zip(&commands)) {
            let (start, go) = mpsc::channel();
            let conversation = Conversation {
                command,
                ledger: &ledger,
                slot,
                bound: peer.statement.bound(),
                random: Random::new(seed, 1000 + number),
                ready: ready.clone(),
                go,
            };
            starts.push(start);
            talks.push(scope.spawn(move || conversation.run()));
        }
        let is_ready = slots
            .iter()
            .all(|_| readiness.recv_timeout(STARTED).is_ok());
        let begun = Instant::now();
        let ends = Ends {
            writes: begun + length.saturating_sub(length / AFTER_WRITES),
            reads: begun + length,
        };
        if is_ready {
            for start in &starts {
                // Of one that could not be started, the conversation has ended.
                let _ = start.send(ends);
            }
            let mut random = Random::new(seed, 2000);
            match scenario {
                Scenario::Races => {}
                Scenario::Connections => inject(&bursts, &mut random, ends.reads),
                Scenario::Deaths => deaths = kill(&slots, &mut random, ends.reads),
            }
            let late = ends.reads + PATIENCE;
            let has_ended = thread::ScopedJoinHandle::is_finished;
            while Instant::now() < late && !talks.iter().all(has_ended) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        drop(starts);
        // Of a worker that hangs: its replies end.
        for slot in &slots {
            slot.kill(End::GivenUp);
        }
        for talk in talks {
            tally.add(talk.join().map_err(|_| "the judge panicked".to_owned())??);
        }
        Ok::<_, String>(())
    })?;
    Ok(Outcome {
        tally,
        sums: ledger.sums(),
        deaths,
        length,
    })
}

/// The program of a worker, with the variables that it reads.
pub(crate) fn command(peer: &Peer, url: &str, socket: &Path, threads: usize) -> Command {
    let mut command = peer.command();
    command
        .env("LEAGUE_REDIS", url)
        .env("LEAGUE_PRIMARY", socket)
        .env("LEAGUE_THREADS", threads.to_string());
    command
}

/// Bursts of faults, each for some of the processes, with calm in between.
fn inject(bursts: &[Arc<Bursts>], random: &mut Random, end: Instant) {
    while Instant::now() < end {
        rest(random.millis(100, 500), end);
        let (victim, spared) = (random.index(bursts.len()), random.index(bursts.len() + 1));
        for (number, burst) in bursts.iter().enumerate() {
            burst.set(number == victim || (number != spared && random.one_in(2)));
        }
        rest(random.millis(100, 600), end);
        for burst in bursts {
            burst.set(false);
        }
    }
}

/// Kills one process now and then. Returns how many.
fn kill(slots: &[Slot], random: &mut Random, end: Instant) -> u64 {
    let mut deaths = 0;
    loop {
        rest(random.millis(500, 1500), end);
        if Instant::now() >= end {
            return deaths;
        }
        slots[random.index(slots.len())].kill(End::Killed);
        deaths += 1;
    }
}

fn rest(time: Duration, end: Instant) {
    thread::sleep(time.min(end.saturating_duration_since(Instant::now())));
}

/// A new folder for the socket of the primary, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Folder, String> {
        let name = format!("league-{}-{:?}", process::id(), Instant::now());
        // Short, because the path of a socket must be.
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("primary")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
