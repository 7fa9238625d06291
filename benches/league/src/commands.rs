//! Counts the commands of one call: those that a library sends, and those that its scripts run.
//!
//! One process gets one request after another, on a server that does nothing else. `MONITOR` shows
//! the commands.

use std::{sync::Arc, thread, time::Duration};

use redis::{Connection, RedisResult, cmd};

use crate::{
    ledger::Ledger,
    peer::Peer,
    primary::Primary,
    process::{Process, Reply},
    support::{Server, acl::url_at},
    turn::{Folder, command},
};

/// How many calls of each kind are counted, each for a record of its own.
const CALLS: usize = 20;

/// The record of the calls that are not counted: they open connections and load scripts.
const FIRST: usize = CALLS;

/// What one command adds to the mean of these calls.
#[expect(clippy::cast_precision_loss, reason = "some calls")]
const OF_EACH: f64 = 1.0 / CALLS as f64;

/// For this long, commands that a library sends in the background count as those of its last call.
const SETTLED: Duration = Duration::from_millis(100);

/// Commands for each call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) sent: f64,
    pub(crate) in_scripts: f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Commands {
    pub(crate) miss: Count,
    pub(crate) hit: Count,
    pub(crate) write: Count,
}

impl Commands {
    pub(crate) fn count(peer: &Peer) -> Result<Commands, String> {
        let server = Server::try_start_on_port()?;
        let folder = Folder::new()?;
        let socket = folder.socket();
        let ledger = Arc::new(Ledger::new(CALLS + 1));
        let _primary =
            Primary::serve(&socket, &ledger, 0).map_err(|error| format!("the primary: {error}"))?;
        // One thread: with several, each may have a client and a near cache of its own.
        let mut worker = command(peer, &url_at(server.port()), &socket, 1);
        let mut process = Process::start(&mut worker).map_err(|error| error.to_string())?;
        process.ready()?.ok_or("the worker does not become ready")?;
        for verb in ["get", "get", "write", "get"] {
            ask(&mut process, verb, FIRST)?;
        }
        // What these calls send in the background is no part of those that are counted.
        thread::sleep(SETTLED);
        let mut monitor = Monitor::of(&server).map_err(|error| error.to_string())?;
        let mut count = |verb| -> Result<Count, String> {
            for row in 0..CALLS {
                ask(&mut process, verb, row)?;
            }
            thread::sleep(SETTLED);
            monitor.count().map_err(|error| error.to_string())
        };
        Ok(Commands {
            miss: count("get")?,
            hit: {
                // Some caches in the process keep a record from its second lookup on.
                count("get")?;
                count("get")?
            },
            write: count("write")?,
        })
    }
}

fn ask(process: &mut Process, verb: &str, row: usize) -> Result<(), String> {
    process.send(0, verb, row);
    process.flush();
    match process.reply()? {
        Some(Reply::Ok { .. }) => Ok(()),
        Some(Reply::Error { text, .. }) => Err(text),
        None => Err("the worker has ended".to_owned()),
    }
}

struct Monitor {
    lines: Connection,
    marks: Connection,
}

impl Monitor {
    fn of(server: &Server) -> RedisResult<Monitor> {
        let (mut lines, marks) = (server.try_connect()?, server.try_connect()?);
        lines.send_packed_command(&cmd("MONITOR").get_packed_command())?;
        lines.recv_response()?;
        Ok(Monitor { lines, marks })
    }

    /// The commands since the last count.
    fn count(&mut self) -> RedisResult<Count> {
        const MARK: &str = "the end of this count";
        cmd("ECHO").arg(MARK).exec(&mut self.marks)?;
        let mut count = Count::default();
        loop {
            let line: String = redis::from_redis_value(self.lines.recv_response()?)?;
            if line.ends_with(&format!("\"{MARK}\"")) {
                return Ok(count);
            }
            if is_of_script(&line) {
                count.in_scripts += OF_EACH;
            } else {
                count.sent += OF_EACH;
            }
        }
    }
}

/// Whether a script ran the command of this line of `MONITOR`.
fn is_of_script(line: &str) -> bool {
    let (head, _) = line.split_once("] ").unwrap_or((line, ""));
    head.ends_with(" lua")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_monitor_tells_whether_a_script_ran_the_command() {
        let by_client = r#"1764601234.123456 [0 127.0.0.1:41000] "SET" "k" "0 lua] x""#;
        let by_script = r#"1764601234.123456 [0 lua] "hgetall" "k""#;
        assert_eq!([by_client, by_script].map(is_of_script), [false, true]);
    }
}
