//! The cost for the server when records expire evenly over some seconds, with and without
//! listeners.

use std::{thread, time::Duration};

use crate::{
    Effort,
    listeners::{Listeners, as_a_cache},
    meter::Meter,
    support::{Server, loaf},
};

/// The time over which they expire.
const SPAN: u64 = 4_000;

pub(crate) struct Expiry {
    /// The cost for the server of each record, in microseconds.
    pub(crate) cpu: f64,
    /// The additional cost of each of this many listeners.
    pub(crate) each_listener: f64,
    /// How many messages a listener gets for each record.
    pub(crate) messages: f64,
}

const LISTENERS: u16 = 100;

pub(crate) fn expiry(effort: Effort, done: impl Fn()) -> Expiry {
    let (silent, _) = expire(effort, 0);
    done();
    let (heard, messages) = expire(effort, LISTENERS);
    done();
    Expiry {
        cpu: silent,
        each_listener: (heard - silent) / f64::from(LISTENERS),
        messages,
    }
}

#[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
fn expire(effort: Effort, listeners: u16) -> (f64, f64) {
    let (count, span) = if effort.in_earnest {
        (20_000, SPAN)
    } else {
        (100, 100)
    };
    let server = Server::start_on_port();
    let (mut meter, mut direct) = (Meter::new(&server), server.connect());
    let count_of_them = listeners.into();
    let listeners = Listeners::new(&server, count_of_them, &as_a_cache("test:"));
    let length = Duration::from_millis(span);
    // The work that the server does in any case: its timer.
    let idle = meter.spent(|| thread::sleep(length));
    let record = loaf();
    let fields: Vec<_> = record.iter().collect();
    for first in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in first..count.min(first + 1_000) {
            let key = format!("test:{number}");
            pipeline.hset_multiple(&key, &fields).ignore();
            // A second is left for writing all records.
            let at = 1_000 + number * span / count;
            pipeline.pexpire(&key, i64::try_from(at).unwrap()).ignore();
        }
        pipeline.exec(&mut direct).unwrap();
    }
    let before = listeners.settled().messages;
    let mut left = 1.0;
    let mut watcher = Meter::new(&server);
    let spent = meter.spent(|| {
        while left > 0.0 {
            thread::sleep(Duration::from_millis(200));
            left = watcher.keys();
        }
    });
    let messages = listeners.settled().messages - before;
    let timer = idle.cpu / idle.wall * spent.wall;
    let each = count as f64;
    let of_one = messages as f64 / each / (count_of_them.max(1) as f64);
    ((spent.cpu - timer).max(0.0) / each, of_one)
}
