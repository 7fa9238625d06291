//! Measures the cost of work for a server: the processor time of its main thread, as the server
//! counts it. That time contains no waiting, and other load on the machine can increase it only a
//! little.
//!
//! The main thread is measured because it saturates first. Commands, expiry and pushes are its work
//! alone, whatever other threads the server has.

use std::{
    thread,
    time::{Duration, Instant},
};

use redis::Connection;

use crate::support::Server;

pub(crate) struct Meter {
    connection: Connection,
}

/// What the server had spent when some work began.
pub(crate) struct Start {
    cpu: f64,
    at: Instant,
}

/// The cost of some work.
pub(crate) struct Spent {
    /// The processor time of the server's main thread, in microseconds.
    pub(crate) cpu: f64,
    /// How long it took, in seconds.
    pub(crate) wall: f64,
    commands: Vec<(String, f64, f64)>,
}

impl Spent {
    /// How often clients and scripts called this command, and the microseconds that the server
    /// counts for it: from the complete request to the written reply.
    pub(crate) fn command(&self, name: &str) -> (f64, f64) {
        let mut all = self.commands.iter();
        let found = all.find(|(command, ..)| command == name);
        found.map_or((0.0, 0.0), |(_, calls, micros)| (*calls, *micros))
    }
}

impl Meter {
    pub(crate) fn new(server: &Server) -> Meter {
        Meter {
            connection: server.connect(),
        }
    }

    pub(crate) fn spent(&mut self, work: impl FnOnce()) -> Spent {
        let start = self.start();
        work();
        self.end(&start)
    }

    /// Begins to measure; for work that several servers do together.
    pub(crate) fn start(&mut self) -> Start {
        let reset = redis::cmd("CONFIG").arg("RESETSTAT").to_owned();
        reset.exec(&mut self.connection).unwrap();
        let cpu = self.cpu();
        Start {
            cpu,
            at: Instant::now(),
        }
    }

    pub(crate) fn end(&mut self, start: &Start) -> Spent {
        let wall = start.at.elapsed().as_secs_f64();
        let cpu = self.cpu() - start.cpu;
        Spent {
            cpu,
            wall,
            commands: self.commands(),
        }
    }

    /// The allocated memory, in bytes.
    pub(crate) fn memory(&mut self) -> f64 {
        self.number("memory", "used_memory")
    }

    pub(crate) fn keys(&mut self) -> f64 {
        redis::cmd("DBSIZE").query(&mut self.connection).unwrap()
    }

    /// Waits until no client listens. The server notices it at its next read from the closed
    /// connections.
    pub(crate) fn wait_until_nobody_listens(&mut self) {
        while self.number("clients", "tracking_clients") > 0.0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn number(&mut self, section: &str, name: &str) -> f64 {
        let info = self.info(section);
        of(&info, name).unwrap_or_else(|| panic!("INFO {section} has no {name}"))
    }

    fn info(&mut self, section: &str) -> String {
        let info = redis::cmd("INFO").arg(section).to_owned();
        info.query(&mut self.connection).unwrap()
    }

    /// The sum is exact; the kernel only estimates how it is divided.
    fn cpu(&mut self) -> f64 {
        let info = self.info("cpu");
        let of = |name: &str| of(&info, name).expect("Redis 6.2 and later say that");
        1e6 * (of("used_cpu_user_main_thread") + of("used_cpu_sys_main_thread"))
    }

    /// `cmdstat_evalsha:calls=2,usec=61,usec_per_call=30.50,…`
    fn commands(&mut self) -> Vec<(String, f64, f64)> {
        let info = self.info("commandstats");
        let lines = info.lines();
        let command = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let figure = |wanted: &str| {
                let mut all = figures
                    .split(',')
                    .filter_map(|figure| figure.split_once('='));
                let (_, figure) = all.find(|(name, _)| *name == wanted)?;
                figure.parse().ok()
            };
            Some((name.to_owned(), figure("calls")?, figure("usec")?))
        };
        lines.filter_map(command).collect()
    }
}

fn of(info: &str, name: &str) -> Option<f64> {
    let mut figures = info.lines().filter_map(|line| line.split_once(':'));
    let (_, figure) = figures.find(|(of, _)| *of == name)?;
    figure.trim().parse().ok()
}

/// The lowest cost of all rounds. Other load on the machine can only increase the cost: it empties
/// the caches of the processor, and wakes the server more often.
pub(crate) fn least(rounds: &[f64]) -> f64 {
    rounds.iter().copied().fold(f64::INFINITY, f64::min)
}
