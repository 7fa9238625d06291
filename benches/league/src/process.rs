//! One process of a worker, and the lines that the judge and it exchange.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

/// Ends a process from another thread. Cloned handles end the same process.
#[derive(Debug, Clone)]
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// Kills the process at once, as `kill -9` does, unless it has ended.
    pub(crate) fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    killer: Killer,
    requests: BufWriter<ChildStdin>,
    replies: BufReader<ChildStdout>,
    line: String,
}

/// A reply of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Ok { number: usize, version: u64 },
    Error { number: usize, text: String },
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<Process> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy();
                io::Error::new(error.kind(), format!("{program}: {error}"))
            })?;
        let requests = child.stdin.take().expect("it is piped");
        let replies = child.stdout.take().expect("it is piped");
        Ok(Process {
            killer: Killer(Arc::new(Mutex::new(child))),
            requests: BufWriter::new(requests),
            replies: BufReader::new(replies),
            line: String::new(),
        })
    }

    pub(crate) fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Waits until the worker is ready. Returns the version that it states, if it does. `None`: it
    /// has ended.
    pub(crate) fn ready(&mut self) -> Result<Option<String>, String> {
        let Some(line) = self.line() else {
            return Ok(None);
        };
        let mut words = line.split(' ');
        if words.next() != Some("ready") {
            return Err(format!("expected `ready`, and not `{line}`"));
        }
        Ok(Some(words.collect::<Vec<_>>().join(" ")))
    }

    /// Sends a request with the next [`Process::flush`].
    pub(crate) fn send(&mut self, number: usize, verb: &str, id: usize) {
        // If the process has ended, the replies end too, and that is noticed.
        let _ = writeln!(self.requests, "{number} {verb} k{id}");
    }

    pub(crate) fn flush(&mut self) {
        let _ = self.requests.flush();
    }

    /// Whether the next reply is here already.
    pub(crate) fn has_reply(&self) -> bool {
        self.replies.buffer().contains(&b'\n')
    }

    /// Waits for a reply. `None`: the process has ended.
    pub(crate) fn reply(&mut self) -> Result<Option<Reply>, String> {
        let Some(line) = self.line() else {
            return Ok(None);
        };
        let reply = Reply::parse(line);
        reply
            .map(Some)
            .ok_or_else(|| format!("no reply of this protocol: `{line}`"))
    }

    /// The next line, if it is whole.
    fn line(&mut self) -> Option<&str> {
        self.line.clear();
        match self.replies.read_line(&mut self.line) {
            Ok(read) if read > 0 => self.line.strip_suffix('\n'),
            _ => None,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.killer.kill();
    }
}

impl Reply {
    fn parse(line: &str) -> Option<Reply> {
        let mut words = line.splitn(3, ' ');
        let number = words.next()?.parse().ok()?;
        match (words.next()?, words.next()) {
            ("ok", version) => {
                let version = version?.parse().ok()?;
                Some(Reply::Ok { number, version })
            }
            ("error", text) => {
                let text = text.unwrap_or_default().to_owned();
                Some(Reply::Error { number, text })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_number_and_a_version_or_an_error() {
        let (number, version) = (3, 41);
        assert_eq!(Reply::parse("3 ok 41"), Some(Reply::Ok { number, version }));
        let text = "no such host".to_owned();
        assert_eq!(
            Reply::parse("3 error no such host"),
            Some(Reply::Error { number, text })
        );
        assert_eq!(Reply::parse("3 ok"), None);
        assert_eq!(Reply::parse("ready"), None);
    }
}
