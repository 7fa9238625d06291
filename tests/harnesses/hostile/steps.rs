//! How a reply is sent: at once, in pieces, late, for ever, or not at all.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

/// The pause between two pieces of a trickle. Shorter than any idle timeout.
const DRIP: Duration = Duration::from_millis(20);

/// The most bytes of a flood. Enough to exceed any limit, and what a process may grow by.
const FLOOD: usize = 96 << 20;

/// The most pieces of a trickle: more than half a minute.
const DRIPS: usize = 2_000;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Sends these bytes one by one, with a pause after each.
    Drip(Vec<u8>),
    /// Sends this piece again and again, with a pause after each.
    Trickle(Vec<u8>),
    /// Sends this piece again and again.
    Flood(Vec<u8>),
    /// Sends nothing more.
    Silence,
    /// Closes the connection.
    Cut,
}

impl Step {
    /// For a person: at most the first bytes.
    pub(crate) fn shown(&self) -> String {
        match self {
            Step::Send(bytes) => {
                let some = &bytes[..bytes.len().min(300)];
                format!("{} bytes \"{}\"", bytes.len(), some.escape_ascii())
            }
            other => format!("{other:?}"),
        }
    }
}

/// Does the steps. Fails if the connection has ended.
pub(crate) fn play(client: &mut TcpStream, steps: Vec<Step>) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => client.write_all(&bytes)?,
            Step::Pause(time) => thread::sleep(time),
            Step::Drip(bytes) => {
                for byte in bytes {
                    client.write_all(&[byte])?;
                    thread::sleep(DRIP);
                }
            }
            Step::Trickle(piece) => {
                for _ in 0..DRIPS {
                    client.write_all(&piece)?;
                    thread::sleep(DRIP);
                }
            }
            Step::Flood(piece) => {
                let pieces = piece.repeat((1 << 16) / piece.len().max(1) + 1);
                for _ in 0..FLOOD / pieces.len() {
                    client.write_all(&pieces)?;
                }
                return silent(client);
            }
            Step::Silence => return silent(client),
            Step::Cut => {
                client.shutdown(Shutdown::Both)?;
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
    }
    Ok(())
}

/// Waits for the client's end of the connection.
fn silent(client: &mut TcpStream) -> io::Result<()> {
    client.set_read_timeout(None)?;
    let mut buffer = [0; 1 << 12];
    while client.read(&mut buffer)? > 0 {}
    Err(ErrorKind::UnexpectedEof.into())
}

pub(crate) fn send_command(to: &mut impl Write, words: &[Vec<u8>]) -> io::Result<()> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    to.write_all(&bytes)
}
