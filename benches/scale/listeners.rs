//! Connections that listen like a near cache, and a thread that reads and counts the pushes to
//! them.

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::support::{Server, until};

/// Dropping it closes the connections.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The number of pushes to all of them so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// The three prefixes to which a cache subscribes: those of its records, and those of their leases,
/// with either hash tag.
pub(crate) fn as_a_cache(prefix: &str) -> Vec<String> {
    vec![
        prefix.to_owned(),
        format!("lock:{{{prefix}"),
        format!("lock:{prefix}"),
    ]
}

/// Plain connections without a subscription, for comparison.
pub(crate) fn connect(server: &Server, count: usize, first_words: &str) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        write!(stream, "{first_words}PING\r\n").unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"PONG\r\n") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the server hung up");
            said.extend(&bytes[..count]);
        }
        assert!(!refused(&said), "{}", String::from_utf8_lossy(&said));
        stream
    };
    (0..count).map(one).collect()
}

fn refused(said: &[u8]) -> bool {
    said.starts_with(b"-") || said.windows(3).any(|bytes| bytes == b"\r\n-")
}

/// The first request of a connection that listens.
pub(crate) fn asking_for(prefixes: &[String]) -> String {
    let mut words = String::from("HELLO 3\r\nCLIENT TRACKING ON BCAST");
    for prefix in prefixes {
        words.push_str(" PREFIX ");
        words.push_str(prefix);
    }
    words.push_str("\r\n");
    words
}

impl Listeners {
    pub(crate) fn new(server: &Server, count: usize, prefixes: &[String]) -> Listeners {
        let streams = connect(server, count, &asking_for(prefixes));
        for stream in &streams {
            stream.set_nonblocking(true).unwrap();
        }
        let shared = Arc::<Shared>::default();
        let for_reader = Arc::clone(&shared);
        let reader = (count > 0).then(|| thread::spawn(move || for_reader.read(streams)));
        Listeners { shared, reader }
    }

    /// Returns when nothing more arrives.
    pub(crate) fn settled(&self) -> Heard {
        let last = Cell::new(None);
        let heard = || Heard {
            messages: self.shared.messages.load(Ordering::Acquire),
            bytes: self.shared.bytes.load(Ordering::Acquire),
        };
        until(|| {
            thread::sleep(Duration::from_millis(20));
            last.replace(Some(heard())) == Some(heard())
        });
        heard()
    }
}

impl Shared {
    fn read(&self, mut streams: Vec<TcpStream>) {
        let mut bytes = vec![0; 64 << 10];
        while !self.ended.load(Ordering::Acquire) {
            for stream in &mut streams {
                match stream.read(&mut bytes) {
                    // No key here contains that character.
                    Ok(count) => {
                        let begun = bytes[..count].split(|byte| *byte == b'>').count() - 1;
                        self.messages.fetch_add(begun as u64, Ordering::AcqRel);
                        self.bytes.fetch_add(count as u64, Ordering::AcqRel);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error}"),
                }
            }
            // Far less than would fill the buffers of a socket meanwhile.
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(reader) = self.reader.take() {
            // A panic has already been printed.
            let _ = reader.join();
        }
    }
}
