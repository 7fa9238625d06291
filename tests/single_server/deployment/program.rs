//! One program of the deployment: a process with two readers and a writer. It is this test program,
//! started again, and gets its commands on stdin.

use std::{
    cell::Cell,
    convert::Infallible,
    env,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Event, Lookup, Redis};

use super::{
    primary::Primary,
    product::{Kind, New, Old, Product, Row},
};

/// The environment variable of a child: its version, its number, whether it has a schema, and two
/// addresses.
const PROGRAM: &str = "CACHE_ASIDE_DEPLOYMENT_PROGRAM";

/// The start of a line from a child. The test harness writes lines too.
const ANSWER: &str = "= ";

/// The ids that all programs write at the same time.
const SHARED: std::ops::Range<u32> = 0..6;

/// The ids that one program writes at a time, by turns: `update_field` is only for such ids.
const BY_TURNS: std::ops::Range<u32> = 6..12;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Version {
    Old,
    New,
}

impl Version {
    pub(super) fn letter(self) -> &'static str {
        match self {
            Version::Old => "o",
            Version::New => "n",
        }
    }
}

/// Declares the counts, and how they cross a pipe.
macro_rules! counts {
    ($($name:ident),+ $(,)?) => {
        /// What a program did and found since its last answer.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Counts {
            $(pub(super) $name: u64,)+
            /// The first wrong record, if there was one.
            pub(super) first: String,
        }

        impl Counts {
            pub(super) fn add(&mut self, other: Counts) {
                $(self.$name += other.$name;)+
                if self.first.is_empty() {
                    self.first = other.first;
                }
            }

            fn print(&self) {
                let counts = [$(self.$name.to_string()),+].join(" ");
                let answer = format!("\n{ANSWER}{counts} {}\n", self.first);
                // Fails if the parent wants no more answers.
                let mut stdout = std::io::stdout();
                let _ = stdout.write_all(answer.as_bytes());
                let _ = stdout.flush();
            }

            fn parse(line: &str) -> Counts {
                let mut words = line.splitn(1 + [$(stringify!($name)),+].len(), ' ');
                Counts {
                    $($name: words.next().unwrap().parse().unwrap(),)+
                    first: words.next().unwrap_or_default().to_owned(),
                }
            }
        }
    };
}

counts! { reads, hits, loads, extra_loads, updated, ended, misread, mixed, stale }

/// A program, as its parent has it.
pub(super) struct Program {
    version: Version,
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts one, and waits until its readers read.
    pub(super) fn start(
        version: Version,
        number: u32,
        with_schema: bool,
        [server, primary]: [&str; 2],
    ) -> Program {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("deployment::program::runs_until_it_is_told_to_end")
            .env(
                PROGRAM,
                format!(
                    "{} {number} {with_schema} {server} {primary}",
                    version.letter()
                ),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Program {
            version,
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        let first = program.written();
        assert!(first.reads > 0);
        program
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Lets it write each record that it may write now. `place` and `count`: which of how many
    /// programs it is.
    pub(super) fn begin_to_write(&mut self, round: u32, place: usize, count: usize) {
        writeln!(self.commands, "{round} {place} {count}").unwrap();
    }

    /// Waits until it has written.
    pub(super) fn written(&mut self) -> Counts {
        let line = self.answers.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix(ANSWER).map(str::to_owned)
        });
        Counts::parse(&line.expect("the program lives"))
    }

    /// Ends it, and returns its last counts.
    pub(super) fn end(mut self) -> Counts {
        writeln!(self.commands, "end").unwrap();
        let counts = self.written();
        assert!(self.child.wait().unwrap().success());
        counts
    }
}

impl Drop for Program {
    /// Ends a program that a failed test has left.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A role, not a test.
#[test]
#[ignore = "a role in the other tests"]
fn runs_until_it_is_told_to_end() {
    let Ok(program) = env::var(PROGRAM) else {
        return;
    };
    let words: Vec<_> = program.split(' ').collect();
    let [version, number, with_schema, server, primary] = words[..] else {
        panic!("{program}");
    };
    let (number, with_schema) = (number.parse().unwrap(), with_schema.parse().unwrap());
    match version {
        "o" => Running::<Old>::new(server, primary, number, with_schema).run(),
        "n" => Running::<New>::new(server, primary, number, with_schema).run(),
        _ => panic!("{program}"),
    }
    // The runner of the tests would print to a parent that has gone.
    std::process::exit(0);
}

thread_local! {
    /// Whether the call of this thread has found an entry of another schema.
    static FOUND_OTHER: Cell<bool> = const { Cell::new(false) };
}

/// The counts that its observer and its readers share.
type Shared = Arc<Mutex<Counts>>;

/// A program, as it sees itself.
struct Running<P> {
    cache: Cache<P>,
    primary: String,
    number: u32,
    counts: Shared,
    ends: AtomicBool,
}

impl<P: Product> Running<P> {
    fn new(server: &str, primary: &str, number: u32, with_schema: bool) -> Running<P> {
        // It must wait for a busy machine, because it takes an error of a write for a fault.
        let patient = Duration::from_secs(20);
        let redis = Redis::builder(server)
            .connect_timeout(patient)
            .io_timeout(patient);
        // Short, so that records are also reloaded in their grace.
        let (ttl, grace) = (Duration::from_millis(100), Duration::from_secs(60));
        let builder = Cache::builder(redis.checkout_timeout(patient)).prefix("test:");
        let builder = builder.ttl(ttl).grace(grace);
        let builder = if with_schema {
            builder.schema(P::SCHEMA)
        } else {
            builder
        };
        let counts = Shared::default();
        let observer = {
            let counts = Arc::clone(&counts);
            move |_: &str, event: &Event<'_>| observe(&counts, event)
        };
        Running {
            cache: builder.observer(observer).build().unwrap(),
            primary: primary.to_owned(),
            number,
            counts,
            ends: AtomicBool::new(false),
        }
    }

    fn run(self) {
        let mut primary = Primary::at(&self.primary);
        thread::scope(|scope| {
            // The first pass of each reader comes before the answer that the parent waits for.
            let mut readers = [Primary::at(&self.primary), Primary::at(&self.primary)];
            self.read_one_by_one(&mut readers[0]);
            self.read_many(&mut readers[1]);
            let [one, many] = readers;
            scope.spawn(|| self.repeat(one, Running::read_one_by_one));
            scope.spawn(|| self.repeat(many, Running::read_many));
            self.answer();
            let end = EndOnDrop(&self.ends);
            for line in std::io::stdin().lines() {
                let line = line.unwrap();
                let words: Vec<_> = line.split(' ').map(str::parse).collect();
                let [Ok(round), Ok(place), Ok(count)] = words[..] else {
                    break;
                };
                self.write(&mut primary, round, place, count);
                self.answer();
            }
            drop(end);
        });
        self.answer();
    }

    fn answer(&self) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap());
        counts.print();
    }

    fn repeat(&self, mut primary: Primary, read: impl Fn(&Running<P>, &mut Primary)) {
        let _end = EndOnDrop(&self.ends);
        while !self.ends.load(SeqCst) {
            read(self, &mut primary);
        }
    }

    fn read_one_by_one(&self, primary: &mut Primary) {
        for id in SHARED.chain(BY_TURNS) {
            let floor = primary.floor(id);
            let load = |_: &str| Ok::<_, Infallible>(Some(P::of(primary.row(id))));
            self.check(&self.cache.get(id, load).unwrap(), floor);
        }
    }

    fn read_many(&self, primary: &mut Primary) {
        for first in SHARED.chain(BY_TURNS).step_by(3) {
            let ids = [first, first + 1, first + 2];
            let floors = ids.map(|id| primary.floor(id));
            let load = |ids: &[&str]| {
                let ids = ids.iter().map(|id| id.parse().unwrap());
                let rows = ids.map(|id: u32| (id.to_string(), P::of(primary.row(id))));
                Ok::<_, Infallible>(rows.collect::<Vec<_>>())
            };
            let found = self.cache.get_many(ids, load).unwrap();
            for (found, floor) in found.iter().zip(floors) {
                self.check(found, floor);
            }
            let floor = primary.floor(first);
            if let Some(found) = self.cache.peek(first).unwrap() {
                self.check(&found, floor);
            }
        }
    }

    fn check(&self, found: &Lookup<P>, floor: Row) {
        let record = found.record().expect("the primary has all rows");
        let kind = record.kind();
        let mut counts = self.counts.lock().unwrap();
        counts.reads += 1;
        counts.hits += u64::from(found.is_hit());
        match kind {
            Kind::Own(row) if row.is_at_least(floor) => return,
            Kind::Own(_) => counts.stale += 1,
            Kind::Other => counts.misread += 1,
            Kind::Mixed => counts.mixed += 1,
        }
        if counts.first.is_empty() {
            counts.first = format!("{kind:?}: {record:?}, at least {floor:?}");
        }
    }

    /// Writes each record that this program may write in this round, in one of four ways.
    fn write(&self, primary: &mut Primary, round: u32, place: u32, programs: u32) {
        for id in SHARED {
            match (round + id + place) % 3 {
                0 => self.invalidate(primary, id),
                1 => self.guarded(primary, id),
                _ => self.update(primary, id),
            }
        }
        for id in BY_TURNS.filter(|id| (round + id) % programs == place) {
            for way in [round, round / 2] {
                match way % 4 {
                    0 => self.invalidate(primary, id),
                    1 => self.update(primary, id),
                    _ => self.update_field(primary, id),
                }
            }
        }
    }

    fn invalidate(&self, primary: &mut Primary, id: u32) {
        let version = primary.change(id, "version");
        self.cache.invalidate(id).unwrap();
        primary.written(self.number, id, "version", version);
    }

    fn guarded(&self, primary: &mut Primary, id: u32) {
        let change = || Ok::<_, Infallible>(primary.change(id, "version"));
        let written = self.cache.write(id, change).unwrap();
        assert!(written.invalidation_error().is_none());
        primary.written(self.number, id, "version", written.into_value());
    }

    fn update(&self, primary: &mut Primary, id: u32) {
        let version = primary.change(id, "version");
        let row = primary.row(id);
        let updated = self.cache.update(id, |cached| {
            let [cached, ..] = cached.numbers();
            (cached < row.version).then(|| P::of(row))
        });
        // Contended: the record is invalidated instead.
        self.count_update(updated.unwrap_or_default());
        primary.written(self.number, id, "version", version);
    }

    fn update_field(&self, primary: &mut Primary, id: u32) {
        let stock = primary.change(id, "stock");
        let text = P::stored(stock).to_string();
        self.count_update(self.cache.update_field(id, "stock", text).unwrap());
        primary.written(self.number, id, "stock", stock);
    }

    fn count_update(&self, updated: bool) {
        let ended = FOUND_OTHER.replace(false);
        assert!(!(updated && ended));
        let mut counts = self.counts.lock().unwrap();
        counts.updated += u64::from(updated);
        counts.ended += u64::from(ended);
    }
}

/// Counts the loads, and those of lookups that found an entry of another schema.
fn observe(counts: &Mutex<Counts>, event: &Event<'_>) {
    match event {
        Event::OtherSchema { .. } => FOUND_OTHER.set(true),
        Event::LoadBegan { .. } => {
            let mut counts = counts.lock().unwrap();
            counts.loads += 1;
            counts.extra_loads += u64::from(FOUND_OTHER.get());
        }
        Event::Answered { .. } => FOUND_OTHER.set(false),
        _ => {}
    }
}

/// Ends the readers, also after a panic of one of them or of the writer.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
