//! A field update that was given up, and whose bar has not reached Redis yet: it must not be done after a later
//! write of the same record has succeeded. Found by the history checker.
//!
//! ```text
//! A   update_field 5    held back on the wire, given up; its bar does not get through: `Err`, remembered
//! A   a write of 6      succeeds: from now on nobody may find anything older
//! B   get               loads 6, and caches it
//!     update_field 5    arrives, and meets no bar
//! B   get               must find 6
//! ```

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use cache_aside::{Cache, Record, Redis, scripts};
use redis::Script;
use support::Server;

/// A request that was kept, and the wire to the server that it is to go over.
type Kept = Arc<Mutex<Option<(TcpStream, Vec<u8>)>>>;

/// Keeps the first field update for later, and loses every invalidation with a bar.
struct Wire {
    port: u16,
    late: Kept,
}

impl Wire {
    fn before(server: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let late = Kept::default();
        let kept = Arc::clone(&late);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let kept = Arc::clone(&kept);
                thread::spawn(move || carry(client, server, &kept));
            }
        });
        Wire { port, late }
    }

    /// Lets the field update arrive, and waits until it was answered.
    fn deliver(&self) {
        let (mut server, request) = self.late.lock().unwrap().take().expect("one was kept");
        server.write_all(&request).unwrap();
        assert!(server.read(&mut [0; 64]).unwrap() > 0);
    }
}

fn carry(mut client: TcpStream, mut server: TcpStream, late: &Mutex<Option<(TcpStream, Vec<u8>)>>) {
    let hash = |text| Script::new(text).get_hash().to_owned();
    let field_update = hash(scripts::UPDATE_FIELD);
    // Called on three keys, the third of which is the bar.
    let with_bar = format!("{}\r\n$1\r\n3\r\n", hash(scripts::INVALIDATE));
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..length];
        let contains = |part: &str| request.windows(part.len()).any(|at| at == part.as_bytes());
        if contains(&with_bar) {
            break;
        }
        if contains(&field_update) {
            *late.lock().unwrap() = Some((server, request.to_vec()));
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        server.write_all(request).unwrap();
        let length = server.read(&mut buffer).unwrap();
        if client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

fn row(version: u64) -> Record {
    Record::from([
        ("name", "loaf".to_owned()),
        ("version", version.to_string()),
    ])
}

/// Runs the interleaving with this call as the later write; what the other process finds in the end.
fn found_after(later_write: impl FnOnce(&Cache)) -> Record {
    let server = Server::start_on_port();
    let wire = Wire::before(server.port());
    let through_wire = Redis::builder(format!("redis://127.0.0.1:{}", wire.port));
    // The lost invalidations open no breaker: everything else gets through.
    let through_wire = through_wire.breaker_threshold(1000);
    let a: Cache = Cache::builder(through_wire)
        .prefix("test:")
        .build()
        .unwrap();
    let b = server.cache();
    let load = |version| move |_: &str| Ok::<_, std::convert::Infallible>(Some(row(version)));

    b.get("k", load(4)).unwrap();
    a.update_field("k", "version", "5")
        .expect_err("its bar was lost");
    later_write(&a);
    b.get("k", load(6)).unwrap();
    wire.deliver();
    let found = b.get("k", load(6)).unwrap();
    Record::clone(found.record().unwrap())
}

#[test]
fn a_given_up_field_update_is_not_done_after_an_invalidation_that_succeeded() {
    let found = found_after(|cache| {
        cache.invalidate("k").unwrap();
    });
    assert_eq!(found, row(6));
}

#[test]
fn a_given_up_field_update_is_not_done_after_a_write_that_succeeded() {
    let found = found_after(|cache| {
        let written = cache
            .write("k", || Ok::<_, std::convert::Infallible>(6))
            .unwrap();
        assert!(written.deferred_by().is_none());
    });
    assert_eq!(found, row(6));
}

#[test]
fn a_given_up_field_update_is_not_done_after_an_update_that_succeeded() {
    let found = found_after(|cache| {
        cache.update("k", |_| Some(row(6))).unwrap();
    });
    assert_eq!(found, row(6));
}
