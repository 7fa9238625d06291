//! What the workers in Rust share: the line protocol of `benches/league/README.md`, and the way to
//! the primary.

use std::{
    env,
    fmt::Display,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    process, thread,
    time::Duration,
};

/// The TTL that every worker gives its records.
pub(super) const TTL: Duration = Duration::from_secs(30);

/// A cache in the way that its documentation recommends.
pub(super) trait Worker: Sync {
    /// A lookup: the cached version, or on a miss the version of the primary, which is then cached.
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String>;

    /// Called after each write of the primary.
    fn invalidate(&self, id: &str) -> Result<(), String>;
}

/// The variables that the judge sets.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) redis: String,
    pub(super) threads: usize,
    pub(super) primary: Primary,
}

impl Setup {
    pub(super) fn read() -> Setup {
        let variable = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        Setup {
            redis: variable("LEAGUE_REDIS"),
            threads: variable("LEAGUE_THREADS").parse().expect("a number"),
            primary: Primary(variable("LEAGUE_PRIMARY")),
        }
    }
}

/// The primary, by the path of its socket.
#[derive(Debug, Clone)]
pub(super) struct Primary(String);

impl Primary {
    /// The loader of every worker.
    pub(super) fn read(&self, id: &str) -> Result<u64, String> {
        self.ask("read", id).map_err(text)
    }

    fn write(&self, id: &str) -> Result<u64, String> {
        self.ask("write", id).map_err(text)
    }

    fn ask(&self, verb: &str, id: &str) -> io::Result<u64> {
        let mut stream = UnixStream::connect(&self.0)?;
        writeln!(stream, "{verb} {id}")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        reply.trim().parse().map_err(io::Error::other)
    }
}

/// Answers the judge until stdin ends, in `setup.threads` threads.
pub(super) fn serve(worker: &impl Worker, setup: &Setup) -> ! {
    println!("ready");
    thread::scope(|scope| {
        for _ in 0..setup.threads {
            scope.spawn(|| {
                let mut line = String::new();
                // Each thread takes the next request: reading a line locks stdin.
                while io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
                    answer(worker, &setup.primary, line.trim());
                    line.clear();
                }
            });
        }
    });
    // Not by a return: a runtime that a library started may still be busy.
    process::exit(0)
}

fn answer(worker: &impl Worker, primary: &Primary, request: &str) {
    let mut words = request.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (number, verb, id) = (word(), word(), word());
    let result = match verb {
        "get" => worker.get(id, primary),
        "write" => primary
            .write(id)
            .and_then(|version| worker.invalidate(id).map(|()| version)),
        _ => Err(format!("no such request: {verb}")),
    };
    match result {
        Ok(version) => println!("{number} ok {version}"),
        Err(error) => println!("{number} error {}", error.replace('\n', " ")),
    }
}

/// An error as text.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn text(error: impl Display) -> String {
    format!("{error:#}")
}
