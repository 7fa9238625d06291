//! A fixed address that is moved to another server, as a DNS name or a virtual IP is after a
//! failover.
//!
//! It forwards bytes of any protocol. A connection stays with the server to which it was opened.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use parking_lot::Mutex;

pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// New connections are opened to these, in turn. None: they are closed at once.
    servers: Mutex<Vec<u16>>,
    opened: AtomicUsize,
}

impl Relay {
    pub(crate) fn to(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            servers: Mutex::new(vec![server]),
            opened: AtomicUsize::new(0),
        });
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = for_all.opened.fetch_add(1, SeqCst);
                let server = {
                    let servers = for_all.servers.lock();
                    (!servers.is_empty()).then(|| servers[number % servers.len()])
                };
                let Some(server) = server else { continue };
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    pass_on_both_ways(&client, &server);
                }
            }
        });
        Relay { port, shared }
    }

    /// New connections lead to this server. Open ones stay with theirs.
    pub(crate) fn move_to(&self, server: u16) {
        *self.shared.servers.lock() = vec![server];
    }

    /// New connections lead to these servers in turn; with none of them, nowhere.
    pub(crate) fn move_to_each(&self, servers: &[u16]) {
        *self.shared.servers.lock() = servers.to_vec();
    }

    /// How many connections have been opened.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        crate::support::acl::url_at(self.port)
    }
}

fn pass_on_both_ways(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        from.set_nodelay(true).unwrap();
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || delegate(from, to));
    }
}

/// Runs until either side closes. The other side then sees it.
fn delegate(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
