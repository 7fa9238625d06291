//! Computes the figures of a run from what the readers saw.

use std::time::Duration;

use crate::{
    environment::Commands,
    instant::Instant,
    plan::{How, Plan, Reader, Seen},
};

/// The figures of a whole run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Loads in each round.
    pub(crate) loads: Vec<u64>,
    /// The time of each round, from the first reader's start to the last reader's answer.
    pub(crate) until_all_answered: Spread,
    /// The time of each reader.
    pub(crate) answer: Spread,
    /// The time from the end of a load to the answers of readers that did not run it, in the
    /// process that loaded.
    pub(crate) wake_up_here: Spread,
    /// The same in the other processes.
    pub(crate) wake_up_elsewhere: Spread,
    /// The time from the end of a load to the answer of the reader that ran it: the fill.
    pub(crate) fill: Spread,
    pub(crate) hows: Vec<How>,
    pub(crate) trouble: Option<String>,
}

impl Figures {
    /// Adds a round: what the readers of each process saw.
    pub(crate) fn add(&mut self, round: Vec<Seen>) {
        // The process and the end of each load, in order.
        let mut loads: Vec<_> = round
            .iter()
            .enumerate()
            .flat_map(|(process, seen)| seen.readers.iter().map(move |reader| (process, reader)))
            .filter_map(|(process, reader)| Some((reader.load_ended?, process)))
            .collect();
        loads.sort_unstable();
        self.loads.push(loads.len() as u64);

        let readers = || round.iter().flat_map(|seen| &seen.readers);
        let first = readers().map(|reader| reader.started).min();
        let last = readers().map(|reader| reader.answered).max();
        if let (Some(first), Some(last)) = (first, last) {
            self.until_all_answered.add(last.since(first));
        }
        for (process, seen) in round.iter().enumerate() {
            for reader in &seen.readers {
                self.hows.push(reader.how);
                self.answer.add(reader.answered.since(reader.started));
                self.add_delay(process, reader, &loads);
            }
        }
        let trouble = round.into_iter().find_map(|seen| seen.trouble);
        self.trouble = self.trouble.take().or(trouble);
    }

    /// The delay of one reader since its own load, or since the latest load that ended before its
    /// answer. If the processes load in turn, that is the load of its own process.
    fn add_delay(&mut self, process: usize, reader: &Reader, loads: &[(Instant, usize)]) {
        if let Some(ended) = reader.load_ended {
            self.fill.add(reader.answered.since(ended));
        } else if reader.how != How::Hit
            && let Some((ended, by)) = loads
                .iter()
                .rev()
                .find(|(ended, _)| *ended <= reader.answered)
        {
            let delay = reader.answered.since(*ended);
            if *by == process {
                self.wake_up_here.add(delay);
            } else {
                self.wake_up_elsewhere.add(delay);
            }
        }
    }

    pub(crate) fn count(&self, how: How) -> usize {
        self.hows.iter().filter(|other| **other == how).count()
    }
}

/// A set of measured durations.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    samples: Vec<Duration>,
}

impl Spread {
    fn add(&mut self, sample: Duration) {
        self.samples.push(sample);
    }

    pub(crate) fn samples(&self) -> &[Duration] {
        &self.samples
    }

    /// The smallest sample that at least `percent` per cent do not exceed; 0 gives the minimum.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// The requests of a run, without the commands inside scripts: Redis counts both in the same way.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Sent by the readers. Each is one round trip, except those that open a connection.
    pub(crate) sent: Commands,
    /// Run by the scripts themselves.
    pub(crate) inside: Commands,
}

/// What the scripts of the read path call. The read path itself sends HGETALL and EVALSHA only.
const IN_SCRIPTS: [&str; 6] = ["set", "get", "pttl", "del", "hset", "pexpire"];

impl Requests {
    pub(crate) fn of(plan: &Plan, mut commands: Commands) -> Requests {
        let mut inside = Commands::new();
        if plan.protected {
            for name in IN_SCRIPTS {
                inside.extend(commands.remove_entry(name));
            }
            // Each lookup begins with one `HGETALL`. The others ran in the acquire script.
            let own = plan.readers() * u64::from(plan.rounds);
            if let Some(all) = commands.get_mut("hgetall")
                && *all > own
            {
                inside.insert("hgetall".to_owned(), *all - own);
                *all = own;
            }
        }
        Requests {
            sent: commands,
            inside,
        }
    }
}
