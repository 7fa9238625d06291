//! Sends lookups and writes to one process of a worker, and counts its replies.
//!
//! As many requests are under way as the worker has threads. A process that was killed is started
//! again.

use std::{
    process::Command,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    ledger::{Before, Ledger, Verdict},
    process::{Killer, Process, Reply},
    random::Random,
};

/// Requests under way in each process.
pub(crate) const THREADS: usize = 4;

/// How many records there are. Few, so that lookups, loads and writes of one meet.
pub(crate) const ROWS: usize = 8;

/// The pause between two writes of a process, in milliseconds: at least, and at most.
pub(crate) const WRITE_PAUSE: (u64, u64) = (5, 45);

/// How often a worker may end by itself before that ends the turn.
const CRASHES: u64 = 20;

/// What the process has done.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) stale: u64,
    /// The stale reads within the bound that the documentation of the library states.
    pub(crate) documented: u64,
    pub(crate) read_errors: u64,
    pub(crate) write_errors: u64,
    /// The processes that ended by themselves.
    pub(crate) crashes: u64,
    /// The requests without a reply at the end, other than those of killed processes.
    pub(crate) unanswered: u64,
    pub(crate) longest_read: Duration,
    pub(crate) first_error: Option<String>,
    pub(crate) version: Option<String>,
}

/// One process, and what it shares with the turn.
pub(crate) struct Conversation<'a> {
    pub(crate) command: &'a (dyn Fn() -> Command + Sync),
    pub(crate) ledger: &'a Ledger,
    pub(crate) slot: &'a Slot,
    /// The bound that the documentation of the library states.
    pub(crate) bound: Option<Duration>,
    pub(crate) random: Random,
    /// Gets a message when the first process is ready, or has ended.
    pub(crate) ready: Sender<()>,
    /// Gives the ends when all are ready. Closed if one of them never is.
    pub(crate) go: Receiver<Ends>,
}

/// No write and no lookup begins after these instants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) writes: Instant,
    pub(crate) reads: Instant,
}

/// The present process, for the thread that kills it.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<SlotState>);

#[derive(Debug, Default)]
struct SlotState {
    killer: Option<Killer>,
    end: End,
}

/// Why the process ended, if it has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    ByItself,
    /// It was killed during the turn.
    Killed,
    /// It was killed after the turn, because it did not reply.
    GivenUp,
}

impl Slot {
    /// Kills the present process, if there is one.
    pub(crate) fn kill(&self, end: End) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(killer) = state.killer.take() {
            state.end = end;
            killer.kill();
        }
    }

    fn put(&self, killer: Killer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.killer = Some(killer);
        state.end = End::ByItself;
    }

    fn end(&self) -> End {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.end
    }
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Read(usize, Before, Instant),
    Write(usize),
}

impl Conversation<'_> {
    /// Runs until no request may begin and all have ended, or until the process is killed after
    /// that.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let process = self.start(&mut tally);
        let _ = self.ready.send(());
        let Ok(ends) = self.go.recv() else {
            return Err("the worker does not become ready".to_owned());
        };
        let mut process = process?;
        let mut write_due = Instant::now() + self.write_pause();
        loop {
            let left = match &mut process {
                Some(process) => self.talk(process, &mut tally, &mut write_due, ends)?,
                None => 0,
            };
            let is_over = Instant::now() >= ends.reads;
            match self.slot.end() {
                End::GivenUp => tally.unanswered += left,
                End::ByItself if left > 0 || !is_over => {
                    tally.crashes += 1;
                    if tally.crashes > CRASHES {
                        return Err("the worker ends again and again".to_owned());
                    }
                }
                End::ByItself | End::Killed => {}
            }
            if is_over {
                return Ok(tally);
            }
            // First the end of the old one: it may still hold its connections.
            drop(process.take());
            process = self.start(&mut tally)?;
        }
    }

    /// Starts a process, and waits until it is ready. `None`: it has ended before.
    fn start(&self, tally: &mut Tally) -> Result<Option<Process>, String> {
        let mut process = Process::start(&mut (self.command)()).map_err(|e| e.to_string())?;
        self.slot.put(process.killer());
        Ok(process.ready()?.map(|version| {
            tally.version.get_or_insert(version);
            process
        }))
    }

    /// Returns the number of requests without a reply when the process ended.
    fn talk(
        &mut self,
        process: &mut Process,
        tally: &mut Tally,
        write_due: &mut Instant,
        ends: Ends,
    ) -> Result<u64, String> {
        // Writes that were due while there was no process are left out.
        *write_due = Instant::now().max(*write_due);
        let mut pending = [None; THREADS];
        for (number, request) in pending.iter_mut().enumerate() {
            *request = self.next(process, number, write_due, ends);
        }
        process.flush();
        while pending.iter().any(Option::is_some) {
            let Some(reply) = process.reply()? else {
                return Ok(pending.iter().flatten().count() as u64);
            };
            let (Reply::Ok { number, .. } | Reply::Error { number, .. }) = reply;
            let request = pending.get_mut(number).and_then(Option::take);
            let request = request.ok_or_else(|| format!("nobody asked {number}"))?;
            self.count(request, reply, tally)?;
            pending[number] = self.next(process, number, write_due, ends);
            // All replies that are here are handled with one write.
            if !process.has_reply() {
                process.flush();
            }
        }
        Ok(0)
    }

    /// Sends the next request, if one may begin.
    fn next(
        &mut self,
        process: &mut Process,
        number: usize,
        write_due: &mut Instant,
        ends: Ends,
    ) -> Option<Pending> {
        let now = Instant::now();
        if now >= *write_due && now < ends.writes {
            *write_due += self.write_pause();
            // Each record has half as many writes as the one before it.
            let writes = self.random.below(1 << ROWS) | 1 << (ROWS - 1);
            let row = writes.trailing_zeros() as usize;
            process.send(number, "write", row);
            return Some(Pending::Write(row));
        }
        if now >= ends.reads {
            return None;
        }
        let row = self.random.index(ROWS);
        let before = self.ledger.before(row);
        process.send(number, "get", row);
        Some(Pending::Read(row, before, now))
    }

    fn count(&self, request: Pending, reply: Reply, tally: &mut Tally) -> Result<(), String> {
        if let Pending::Read(_, _, began) = request {
            tally.longest_read = tally.longest_read.max(began.elapsed());
        }
        let (row, is_possible) = match (request, reply) {
            (Pending::Read(row, before, _), Reply::Ok { version, .. }) => {
                let verdict = self.ledger.judge(row, before, version);
                tally.reads += 1;
                if let Verdict::Stale(age) = verdict {
                    tally.stale += 1;
                    tally.documented += u64::from(self.bound.is_some_and(|bound| age < bound));
                }
                (row, verdict != Verdict::Impossible)
            }
            (Pending::Write(row), Reply::Ok { version, .. }) => {
                (row, self.ledger.settle(row, version))
            }
            (Pending::Read(row, ..), Reply::Error { text, .. }) => {
                tally.read_errors += 1;
                tally.first_error.get_or_insert(text);
                (row, true)
            }
            (Pending::Write(row), Reply::Error { text, .. }) => {
                tally.write_errors += 1;
                tally.first_error.get_or_insert(text);
                (row, true)
            }
        };
        if is_possible {
            Ok(())
        } else {
            Err(format!("the primary never had this version of k{row}"))
        }
    }

    fn write_pause(&mut self) -> Duration {
        let (least, most) = WRITE_PAUSE;
        self.random.millis(least, most)
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.reads += other.reads;
        self.stale += other.stale;
        self.documented += other.documented;
        self.read_errors += other.read_errors;
        self.write_errors += other.write_errors;
        self.crashes += other.crashes;
        self.unanswered += other.unanswered;
        self.longest_read = self.longest_read.max(other.longest_read);
        self.first_error = self.first_error.take().or(other.first_error);
        self.version = self.version.take().or(other.version);
    }
}
