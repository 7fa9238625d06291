//! A proxy on the wire between a cache and its server, which loses what it is told to lose.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// What happens to the next request that contains some bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The server gets it, and the client is cut off before the reply.
    Reply,
    /// The client is cut off, and the server gets it when the test says so.
    Late,
}

/// Listens for as long as the test runs.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Which request is to be lost, and how. Taken by the first that matches.
    next: Mutex<Option<(Vec<u8>, Loss)>>,
    /// A late request and the wire to the server that it is to go over.
    late: Mutex<Option<(TcpStream, Vec<u8>)>>,
    /// Whether the server has answered a request whose client is gone. Notified when it becomes true.
    lost_reply: (Mutex<bool>, Condvar),
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&for_all);
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                thread::spawn(move || carry(client, server, &shared));
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Loses the next request that contains `bytes`.
    pub(crate) fn lose(&self, bytes: &[u8], loss: Loss) {
        *self.shared.next.lock().unwrap() = Some((bytes.to_vec(), loss));
    }

    /// Lets the late request through, and returns when the server has done it.
    pub(crate) fn let_through(&self) {
        let (mut server, request) = self
            .shared
            .late
            .lock()
            .unwrap()
            .take()
            .expect("one was held");
        server.write_all(&request).unwrap();
        let lost = &self.shared.lost_reply;
        let mut seen = lost.0.lock().unwrap();
        while !*seen {
            seen = lost.1.wait(seen).unwrap();
        }
    }
}

/// Carries one client's requests, one at a time, each with its reply.
fn carry(mut client: TcpStream, mut server: TcpStream, shared: &Arc<Shared>) {
    let replies = server.try_clone().unwrap();
    let to_client = client.try_clone().unwrap();
    let cut = Arc::new(Mutex::new(false));
    let is_cut = Arc::clone(&cut);
    let for_replies = Arc::clone(shared);
    thread::spawn(move || pass_on(replies, to_client, &is_cut, &for_replies));
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..length];
        let loss = {
            let mut next = shared.next.lock().unwrap();
            let hit = next.take_if(|(bytes, _)| request.windows(bytes.len()).any(|at| at == bytes));
            hit.map(|(_, loss)| loss)
        };
        if loss.is_some() {
            *cut.lock().unwrap() = true;
        }
        match loss {
            None => server.write_all(request).unwrap(),
            Some(Loss::Reply) => {
                server.write_all(request).unwrap();
                return;
            }
            Some(Loss::Late) => {
                *shared.late.lock().unwrap() = Some((server, request.to_vec()));
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_cut: &Mutex<bool>, shared: &Shared) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if *is_cut.lock().unwrap() {
            *shared.lost_reply.0.lock().unwrap() = true;
            shared.lost_reply.1.notify_all();
            break;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
