//! The primary, served to the workers on a Unix socket: `read ID` or `write ID`, and the version as
//! reply.
//!
//! It pauses between the choice of a version and the reply, so that fills race with writes.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use crate::{ledger::Ledger, random::Random};

/// The longest pause of a load, in milliseconds.
pub(crate) const LOAD_PAUSE: u64 = 10;

/// The longest pause after a commit, in milliseconds.
pub(crate) const COMMIT_PAUSE: u64 = 2;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Primary {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Primary {
    pub(crate) fn serve(socket: &Path, ledger: &Arc<Ledger>, seed: u64) -> io::Result<Primary> {
        let listener = UnixListener::bind(socket)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ledger, stopped) = (Arc::clone(ledger), Arc::clone(&stop));
        let lanes = AtomicU64::new(0);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(SeqCst) {
                    return;
                }
                let ledger = Arc::clone(&ledger);
                let mut random = Random::new(seed, lanes.fetch_add(1, SeqCst));
                // A worker that was killed does not read its reply.
                thread::spawn(move || answer(&client, &ledger, &mut random));
            }
        });
        Ok(Primary {
            socket: socket.to_owned(),
            stop,
        })
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // The connection ends the wait for one.
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }
}

/// Answers one request, then closes.
fn answer(mut client: &UnixStream, ledger: &Ledger, random: &mut Random) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(client).read_line(&mut request)?;
    let (verb, id) = request.trim().split_once(' ').unwrap_or_default();
    let reply = match (verb, ledger.find(id)) {
        ("read", Some(row)) => {
            let version = ledger.load(row);
            random.pause(LOAD_PAUSE);
            version.to_string()
        }
        ("write", Some(row)) => {
            let version = ledger.commit(row);
            random.pause(COMMIT_PAUSE);
            version.to_string()
        }
        _ => "no such request or id".to_owned(),
    };
    writeln!(client, "{reply}")
}
