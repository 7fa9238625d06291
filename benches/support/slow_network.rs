//! A slow network: a relay that holds back all bytes for half of the round trip.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The port of a relay that adds this round trip to the server's.
pub(crate) fn before(server: u16, round_trip: Duration) -> u16 {
    let way = round_trip / 2;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                continue;
            };
            let clones = (client.try_clone().unwrap(), server.try_clone().unwrap());
            pass_on(clones.0, clones.1, way);
            pass_on(server, client, way);
        }
    });
    port
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, way: Duration) {
    to.set_nodelay(true).unwrap();
    let (sent, arrived) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0
                || sent
                    .send((Instant::now() + way, buffer[..count].to_vec()))
                    .is_err()
            {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in arrived {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // Ends the other direction, too.
        let _ = to.shutdown(Shutdown::Both);
    });
}
