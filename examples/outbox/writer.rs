//! A writer that dies between its commit and its invalidation: a process that is killed there.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{Outcome, primary::Primary};

/// How long a writer waits to be killed, in case its parent dies first.
const LONGEST: Duration = Duration::from_secs(20);

/// What a writer does.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) db: PathBuf,
    pub(crate) cache: String,
    pub(crate) product: u32,
    pub(crate) cents: u32,
}

/// Starts a writer in a process of its own, waits for its commit, and kills it (SIGKILL). Returns
/// the time just before the commit.
pub(crate) fn run_and_kill(job: &Job) -> Outcome<SystemTime> {
    let child = Command::new(env::current_exe()?)
        .arg("--writer")
        .arg(&job.db)
        .arg(&job.cache)
        .args([job.product.to_string(), job.cents.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut child = Killed(child);
    let stdout = child.0.stdout.take().ok_or("the writer has no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let nanos = line.trim().parse().map_err(|_| "the writer ended early")?;
    drop(child);
    Ok(UNIX_EPOCH + Duration::from_nanos(nanos))
}

/// A process that is killed at the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The part of the writer. It never comes to its invalidation.
pub(crate) fn write(job: &Job) -> Outcome<()> {
    let mut primary = Primary::open(&job.db)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    primary.set_price(&job.cache, job.product, job.cents)?;
    writeln!(io::stdout(), "{now}")?;
    thread::sleep(LONGEST);
    Ok(())
}

impl Job {
    /// The job in the arguments behind `--writer`.
    pub(crate) fn parse(args: &[String]) -> Outcome<Job> {
        let [db, cache, product, cents] = args else {
            return Err("a writer has four arguments".into());
        };
        Ok(Job {
            db: Path::new(db).to_owned(),
            cache: cache.clone(),
            product: product.parse()?,
            cents: cents.parse()?,
        })
    }
}
