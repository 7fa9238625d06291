//! Does one run from its start to its end: children work under a fault schedule.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::{
    args::Args,
    children::Children,
    environment::Environment,
    failovers::{Failovers, Staleness},
    fault_schedule::FaultReport,
    killed_writers::kill_writers,
    plan::{Message, Tally, Violation},
};

/// A child that makes no progress for this long hangs: no wait in it exceeds a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often Ctrl-C is checked.
const GLANCE: Duration = Duration::from_millis(100);

/// The outcome of a run.
pub(crate) struct Outcome {
    /// Lookups and writes.
    pub(crate) operations: u64,
    pub(crate) time: Duration,
    pub(crate) end: End,
    pub(crate) fault_report: FaultReport,
    /// Stale answers after failovers.
    pub(crate) staleness: Staleness,
    /// How many writers were killed after a commit under guards.
    pub(crate) killed: u64,
}

pub(crate) enum End {
    /// What all processes did.
    Clean(Box<Tally>),
    Violation(Box<Violation>),
}

/// Does a run. `Err`: it could not be done.
pub(crate) fn run(
    args: &Args,
    environment: &mut Environment,
    interrupted: &AtomicBool,
) -> Result<Outcome, String> {
    let plans = environment.plans(args);
    let mut children = Children::start(&plans)?;
    let failovers = Arc::clone(&environment.failovers);
    let mut talk = Talk {
        children: &mut children,
        interrupted,
        done: vec![0; args.processes as usize],
        failovers: &failovers,
        staleness: Staleness::default(),
    };
    talk.all(|message| matches!(message, Message::Connected), |_| ())?;
    let (blowing, over) = channel::bounded(0);
    let primary = environment.primary()?;
    thread::scope(|scope| {
        let killing = args.kill_writers().then(|| {
            let over = over.clone();
            scope.spawn(move || kill_writers(&plans, primary, &over))
        });
        let fault_schedule = scope.spawn(|| environment.run_faults(args, interrupted, over));
        let began = Instant::now();
        talk.children.tell_all("go")?;
        let found = talk.until_done(Bar::of(args));
        let time = began.elapsed();
        drop(blowing);
        let fault_report = fault_schedule
            .join()
            .map_err(|_| "the fault schedule panicked")??;
        let killed = killing.map(|killing| killing.join().map_err(|_| "a kill panicked"));
        let killed = killed.transpose()?.transpose()?.unwrap_or(0);
        // After the last check of the schedule, all failovers are known.
        let end = match found?.or_else(|| talk.unexplained()) {
            Some(violation) => {
                if args.record.is_some() {
                    talk.stop()?;
                }
                End::Violation(violation)
            }
            None => End::Clean(Box::new(talk.sum()?)),
        };
        Ok(Outcome {
            operations: talk.done.iter().sum(),
            time,
            end,
            fault_report,
            staleness: talk.staleness,
            killed,
        })
    })
}

struct Talk<'a> {
    children: &'a mut Children,
    interrupted: &'a AtomicBool,
    /// The number of operations that each child has done.
    done: Vec<u64>,
    failovers: &'a Failovers,
    staleness: Staleness,
}

impl Talk<'_> {
    /// The next message. Fails if there is none within a time that is long enough for any.
    fn hear(&self) -> Result<(usize, Message), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.interrupted.load(SeqCst) {
                return Err("interrupted".to_owned());
            }
            if let Some(heard) = self.children.hear(GLANCE)? {
                return Ok(heard);
            }
        }
        Err(format!("no process says anything for {PATIENCE:?}"))
    }

    /// Waits for the same message from all children.
    fn all(
        &self,
        is_expected: impl Fn(&Message) -> bool,
        mut keep: impl FnMut(Message),
    ) -> Result<(), String> {
        for _ in &self.done {
            match self.hear()? {
                (_, message) if is_expected(&message) => keep(message),
                (_, other) => {
                    return Err(format!("a child process spoke out of turn: {other:?}"));
                }
            }
        }
        Ok(())
    }

    /// Waits until all children are done, or one has found a violation.
    fn until_done(&mut self, mut bar: Bar) -> Result<Option<Box<Violation>>, String> {
        let mut at_work = self.done.len();
        let mut progressed = Instant::now();
        while at_work > 0 {
            let (number, message) = self.hear()?;
            match message {
                Message::Progress(done) => {
                    if self.done[number] != done {
                        progressed = Instant::now();
                    }
                    self.done[number] = done;
                    bar.show(self.done.iter().sum());
                }
                Message::Done => at_work -= 1,
                Message::Violation(violation) => return Ok(Some(violation)),
                Message::Stale(answer) => self.staleness.add(*answer),
                other => return Err(format!("a child process spoke out of turn: {other:?}")),
            }
            if let Some(violation) = self.unexplained() {
                return Ok(Some(violation));
            }
            if progressed.elapsed() > PATIENCE {
                return Err(format!("nothing gets done for {PATIENCE:?}"));
            }
        }
        Ok(None)
    }

    /// A stale answer that no failover explains.
    fn unexplained(&mut self) -> Option<Box<Violation>> {
        let found = self.staleness.judge(self.failovers);
        found.map(Box::new)
    }

    /// Ends all children, so that they close their logs.
    fn stop(&mut self) -> Result<(), String> {
        // One that works takes the first, and then waits for the second. One that waits already
        // takes the first.
        self.children.tell_all("stop")?;
        self.children.tell_all("calm")?;
        let mut at_work = self.done.len();
        while at_work > 0 {
            if let (_, Message::Ended(_)) = self.hear()? {
                at_work -= 1;
            }
        }
        Ok(())
    }

    /// Adds up what all processes did, after the faults have ended.
    fn sum(&mut self) -> Result<Tally, String> {
        self.children.tell_all("calm")?;
        let mut all = Tally::default();
        self.all(
            |message| matches!(message, Message::Ended(_)),
            |message| {
                if let Message::Ended(tally) = message {
                    all.add(&tally);
                }
            },
        )?;
        Ok(all)
    }
}

/// A progress line on stderr, if that is a terminal and the run takes more than a moment.
struct Bar {
    operations: u64,
    /// `None`: the number of operations measures the progress.
    seconds: Option<u64>,
    began: Instant,
    shown: Option<ProgressBar>,
}

impl Bar {
    fn of(args: &Args) -> Bar {
        Bar {
            operations: args.operations(),
            seconds: args.seconds.filter(|_| args.is_timed()),
            began: Instant::now(),
            shown: None,
        }
    }

    fn show(&mut self, done: u64) {
        if self.began.elapsed() < Duration::from_secs(1) || !io::stderr().is_terminal() {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let (length, template) = match self.seconds {
                Some(seconds) => (seconds, "{pos} of {len} s {wide_bar} {msg} operations"),
                None => (
                    self.operations,
                    "{human_pos} of {human_len} {wide_bar} {elapsed}, {eta} left",
                ),
            };
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(length).with_style(style.expect("the template is right"))
        });
        if self.seconds.is_some() {
            bar.set_message(HumanCount(done).to_string());
            bar.set_position(self.began.elapsed().as_secs());
        } else {
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
