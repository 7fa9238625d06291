//! A writer that dies between its commit and its invalidation: a process that is killed there.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use cache_aside::Cache;

use crate::{Outcome, shop::Shop};

/// How long a writer waits to be killed, in case its parent dies first.
const LONGEST: Duration = Duration::from_secs(20);

/// Starts a writer in a process of its own, waits for its commit, and kills it (SIGKILL). Calls
/// `committed` with the version that it has written, as soon as it is known.
///
/// With `redis`, the writer uses a unit of work on that server, and no outbox.
pub(crate) fn run_and_kill(
    socket: &Path,
    cache: &str,
    product: u32,
    redis: Option<&str>,
    committed: impl FnOnce(u64),
) -> Outcome<()> {
    let child = Command::new(env::current_exe()?)
        .arg("--writer")
        .arg(socket)
        .args([cache, &product.to_string()])
        .args(redis)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut child = Killed(child);
    let stdout = child.0.stdout.take().ok_or("the writer has no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    committed(line.trim().parse().map_err(|_| "the writer ended early")?);
    Ok(())
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
pub(crate) fn write(args: &[String]) -> Outcome<()> {
    let [socket, cache, product, redis @ ..] = args else {
        return Err("a writer has three or four arguments".into());
    };
    let mut shop = Shop::open(Path::new(socket))?;
    let product = product.parse()?;
    let Some(redis) = redis.first() else {
        let committed = shop.change(cache, product)?;
        writeln!(io::stdout(), "{}", committed.version)?;
        thread::sleep(LONGEST);
        return Ok(());
    };
    let cache = Cache::builder(redis.as_str()).prefix(cache).build()?;
    let (version, unit) = shop.change_in_unit(&cache, product)?;
    if let Some(error) = unit.guard_error() {
        return Err(error.clone().into());
    }
    writeln!(io::stdout(), "{version}")?;
    thread::sleep(LONGEST);
    let _ = unit.commit();
    Ok(())
}
