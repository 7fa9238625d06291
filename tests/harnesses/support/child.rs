//! The child's side of the messages between a process and its parent: lines on stdin from the
//! parent, and lines of JSON on stdout to it.

use std::{
    io::{self, Write},
    process, thread,
};

use crossbeam::channel::{self, Receiver};
use serde::Serialize;

/// The lines on stdin. When stdin ends, this process ends.
pub(crate) fn lines_until_orphaned() -> Receiver<String> {
    let (send, receive) = channel::unbounded();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
        process::exit(0);
    });
    receive
}

/// Sends a message to the parent.
pub(crate) fn say(message: &impl Serialize) -> Result<(), String> {
    let line = serde_json::to_string(message).expect("messages are plain data");
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())
}
