//! A wire between a cache and its server that delays or splits what the *listener* receives.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::acl::url_at;

/// The state of the wire.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Delivery {
    Calm,
    /// Everything arrives this much later.
    Late(Duration),
    /// Nothing arrives.
    Held,
    /// In pieces of this many bytes, with pauses in between.
    Pieces(usize, Duration),
}

/// Listens for as long as the test runs.
pub(crate) struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    delivery: Mutex<Delivery>,
    changed: Condvar,
}

impl Wire {
    pub(crate) fn before(server: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            delivery: Mutex::new(Delivery::Calm),
            changed: Condvar::new(),
        });
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    carry(&client, &server, &for_all);
                }
            }
        });
        Wire { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        url_at(self.port)
    }

    pub(crate) fn turn(&self, delivery: Delivery) {
        *self.shared.delivery.lock().unwrap() = delivery;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn delivery(&self) -> Delivery {
        *self.delivery.lock().unwrap()
    }

    /// Waits until bytes that came at this instant may be delivered.
    fn wait(&self, came: Instant) {
        let mut delivery = self.delivery.lock().unwrap();
        loop {
            let left = match *delivery {
                Delivery::Calm | Delivery::Pieces(..) => return,
                Delivery::Late(by) => (came + by).saturating_duration_since(Instant::now()),
                Delivery::Held => Duration::from_secs(20),
            };
            if left.is_zero() {
                return;
            }
            delivery = self.changed.wait_timeout(delivery, left).unwrap().0;
        }
    }
}

fn carry(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) {
    for stream in [client, server] {
        stream.set_nodelay(true).unwrap();
    }
    let ends = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    let is_listener = Arc::new(AtomicBool::new(false));

    let ((mut from, mut to), marked) = (ends(), Arc::clone(&is_listener));
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let piece = &buffer[..length];
            if piece.windows(8).any(|word| word == b"TRACKING") {
                marked.store(true, SeqCst);
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });

    let ((mut to, mut from), shared) = (ends(), Arc::clone(shared));
    let (send, come) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (came, piece) in come {
            if is_listener.load(SeqCst) {
                shared.wait(came);
            }
            let (size, pause) = match shared.delivery() {
                Delivery::Pieces(size, pause) if is_listener.load(SeqCst) => (size, pause),
                _ => (piece.len(), Duration::ZERO),
            };
            for part in piece.chunks(size) {
                if to.write_all(part).is_err() {
                    return;
                }
                thread::sleep(pause);
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if send
                .send((Instant::now(), buffer[..length].to_vec()))
                .is_err()
            {
                return;
            }
        }
    });
}
