//! A rolling deployment and its rollback: processes of two versions of a program, with different
//! record types, read and write the same records.
//!
//! No lookup may return a record of the other version, a mixture of both, or a record from before a
//! write that had returned when the lookup began.

mod primary;
mod product;
mod program;

use std::time::{Duration, Instant};

use self::program::{Counts, Program, Version};
use crate::support::Server;

/// The programs in each phase, in order. From one phase to the next, one program is replaced.
const DEPLOYMENT: [[Version; 3]; 7] = {
    use Version::{New, Old};
    [
        [Old, Old, Old],
        [New, Old, Old],
        [New, New, Old],
        [New, New, New],
        [Old, New, New],
        [Old, Old, New],
        [Old, Old, Old],
    ]
};

/// How often every program writes in a phase, at least.
const ROUNDS: u32 = 15;

/// How many lookups every program makes in a phase, at least.
const READS: u64 = 150;

/// The counts of a phase, by version.
#[derive(Default)]
struct Phase {
    old: Counts,
    new: Counts,
}

impl Phase {
    fn of(&mut self, version: Version) -> &mut Counts {
        match version {
            Version::Old => &mut self.old,
            Version::New => &mut self.new,
        }
    }
}

/// Three programs on one server and one primary.
struct Fleet {
    /// Before the servers, so that the programs end first.
    programs: Vec<Program>,
    server: Server,
    primary: Server,
    with_schema: bool,
    started: u32,
    round: u32,
}

impl Fleet {
    fn new(with_schema: bool) -> Fleet {
        Fleet {
            programs: Vec::new(),
            server: Server::start(),
            primary: Server::start(),
            with_schema,
            started: 0,
            round: 0,
        }
    }

    fn start(&mut self, version: Version) -> Program {
        self.started += 1;
        Program::start(
            version,
            self.started,
            self.with_schema,
            [&self.server.url(), &self.primary.admin_url()],
        )
    }

    /// Replaces the programs of another version, while the others read.
    fn deploy(&mut self, versions: &[Version]) -> Phase {
        let mut phase = Phase::default();
        for (place, version) in versions.iter().enumerate() {
            let is_there = self.programs.get(place);
            if is_there.is_some_and(|program| program.version() == *version) {
                continue;
            }
            let new = self.start(*version);
            if place < self.programs.len() {
                let old = std::mem::replace(&mut self.programs[place], new);
                phase.of(old.version()).add(old.end());
            } else {
                self.programs.push(new);
            }
        }
        phase
    }

    /// Lets all programs write at the same time, until each has written and read enough.
    fn run(&mut self, versions: &[Version]) -> Phase {
        let mut phase = self.deploy(versions);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut reads = vec![0; versions.len()];
        for round in 0.. {
            if round >= ROUNDS && reads.iter().all(|reads| *reads >= READS) {
                break;
            }
            assert!(Instant::now() < deadline, "after 60 s: {reads:?} lookups");
            self.round += 1;
            let count = self.programs.len();
            for (place, program) in self.programs.iter_mut().enumerate() {
                program.begin_to_write(self.round, place, count);
            }
            for (program, reads) in self.programs.iter_mut().zip(&mut reads) {
                let counts = program.written();
                *reads += counts.reads;
                phase.of(program.version()).add(counts);
            }
        }
        phase
    }
}

/// A table of the phases.
fn print(phases: &[Phase]) {
    println!(
        "{:>10} {:>8} {:>8} {:>8} {:>8} {:>10} {:>9} {:>8}",
        "programs", "version", "lookups", "hits", "loads", "extra", "in place", "ended"
    );
    for (phase, versions) in phases.iter().zip(DEPLOYMENT) {
        let programs = versions.map(Version::letter).concat();
        for (version, counts) in [("old", &phase.old), ("new", &phase.new)] {
            if counts.reads > 0 {
                println!(
                    "{programs:>10} {version:>8} {:>8} {:>8} {:>8} {:>10} {:>9} {:>8}",
                    counts.reads,
                    counts.hits,
                    counts.loads,
                    counts.extra_loads,
                    counts.updated,
                    counts.ended,
                );
            }
        }
    }
    println!(
        "extra: loads after an entry of the other schema; in place, ended: updates that changed \
        the entry, and those that ended one of the other schema"
    );
}

#[test]
fn through_a_rolling_deployment_and_back_no_record_is_misread_mixed_or_stale() {
    let began = Instant::now();
    let mut fleet = Fleet::new(true);
    let phases: Vec<_> = DEPLOYMENT.iter().map(|phase| fleet.run(phase)).collect();
    print(&phases);
    println!("{:.1?}", began.elapsed());
    let mut total = Counts::default();
    for Phase { old, new } in &phases {
        total.add(old.clone());
        total.add(new.clone());
    }
    for program in fleet.programs.drain(..) {
        total.add(program.end());
    }
    let wrong = (total.misread, total.mixed, total.stale);
    assert_eq!(wrong, (0, 0, 0), "{:?}", total.first);
    assert!(total.updated > 0, "no record was updated in place");

    // Before the deployment no other schema is found, and while it lasts both sides find one.
    assert_eq!(phases[0].old.extra_loads, 0);
    for Phase { old, new } in [1, 2, 4, 5].map(|phase| &phases[phase]) {
        for counts in [old, new] {
            assert!(counts.extra_loads > 0 && counts.ended > 0);
        }
    }
    fleet.server.assert_every_key_expires();
}

/// This shows that the check above finds what it looks for.
#[test]
fn without_a_schema_the_same_programs_read_each_others_records() {
    let mut fleet = Fleet::new(false);
    let mut total = Counts::default();
    for versions in &DEPLOYMENT[..2] {
        let Phase { old, new } = fleet.run(versions);
        total.add(old);
        total.add(new);
    }
    println!(
        "{} misread and {} mixed of {}; the first: {}",
        total.misread, total.mixed, total.reads, total.first
    );
    assert!(total.misread > 0 && total.mixed > 0);
}
