//! A server that answers each request with what a closure makes of its words, until the process
//! ends.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Starts one on this port.
pub(crate) fn answer(port: u16, reply: impl Fn(&[String]) -> String + Send + Sync + 'static) {
    serve(port, move |words, stream| {
        stream.write_all(reply(words).as_bytes())
    });
}

/// The same with a closure that sends its replies itself. The connection ends where it fails.
pub(crate) fn serve(
    port: u16,
    reply: impl Fn(&[String], &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let reply = Arc::new(reply);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, reply) = (stream.unwrap(), Arc::clone(&reply));
            // Each piece is sent at once.
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut from = BufReader::new(stream.try_clone().unwrap());
                while let Some(words) = words(&mut from) {
                    if reply(&words, &mut stream).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// What a working server replies to the requests of a new connection, and to others that are not
/// the subject.
pub(crate) fn usual(words: &[String]) -> String {
    match &*words[0] {
        "HELLO" => texts(&[
            "server",
            "redis",
            "version",
            "7.0.15",
            "mode",
            "standalone",
            "role",
            "master",
        ]),
        "INFO" => "$-1\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}

/// A map of texts, as in the answer to `HELLO`.
pub(crate) fn texts(words: &[&str]) -> String {
    let words = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let words: Vec<_> = words.collect();
    format!("*{}\r\n{}", words.len(), words.concat())
}

fn words(from: &mut impl BufRead) -> Option<Vec<String>> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    let count: usize = line.trim_end().strip_prefix('*')?.parse().ok()?;
    let word = |_| {
        line.clear();
        from.read_line(&mut line).ok()?;
        let mut word = vec![0; line.trim_end().strip_prefix('$')?.parse::<usize>().ok()? + 2];
        from.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        Some(String::from_utf8_lossy(&word).into_owned())
    };
    (0..count).map(word).collect()
}
