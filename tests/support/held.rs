//! Loads of numbered versions, and one that the test can hold.

#![allow(unreachable_pub, reason = "shared by tests")]

use std::{
    convert::Infallible,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use cache_aside::{Cache, Record, Source};

pub fn version(number: u32) -> Record {
    Record::from([("version", number.to_string())])
}

pub fn load(number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

/// A load that has read the primary and does not return until it is released.
pub struct Held {
    has_read: Sender<()>,
    let_go: Receiver<()>,
}

/// The other ends of a [`Held`].
pub struct Holder {
    pub has_read: Receiver<()>,
    pub let_go: Sender<()>,
}

pub fn held() -> (Held, Holder) {
    let (has_read, was_read) = channel();
    let (let_go, was_let_go) = channel();
    let held = Held {
        has_read,
        let_go: was_let_go,
    };
    let holder = Holder {
        has_read: was_read,
        let_go,
    };
    (held, holder)
}

impl Held {
    pub fn load(self, number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
        move |_| {
            self.has_read.send(()).unwrap();
            // Bounded, for the test that fails while a load is held.
            self.let_go.recv_timeout(Duration::from_secs(20)).unwrap();
            Ok(Some(version(number)))
        }
    }
}

pub fn number(cache: &Cache, fresh: u32) -> (String, Source) {
    let found = cache.get("k", load(fresh)).unwrap();
    let record = found.record().unwrap();
    (record.get("version").unwrap().to_owned(), found.source())
}
