//! The time of a hit directly after a write, by the number of listeners to the changed record. It
//! is measured by the clock, because it is about waiting.
//!
//! Each hit has its own write, which is sent before it and not waited for. A writer that writes all
//! the time would not do: on a busy machine it may get no core while the hits are measured.

use std::time::Instant;

use cache_aside::{Cache, Source};
use redis::Cmd;

use crate::{
    Effort,
    listeners::{Listeners, as_a_cache},
    meter::Meter,
    patient,
    support::{Server, load_loaf},
};

pub(crate) const LISTENERS: [u16; 3] = [0, 100, 300];

/// The medians, in microseconds.
pub(crate) fn hits(effort: Effort, done: impl Fn()) -> [f64; LISTENERS.len()] {
    let server = Server::start_on_port();
    let mut meter = Meter::new(&server);
    let cache: Cache = patient::cache(&server.url()).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let mut writer = server.connect();
    let write = Cmd::hset("test:other", "stock", "41").get_packed_command();
    let mut all = LISTENERS.map(|_| Vec::new());
    for _ in 0..effort.rounds(5) {
        for (count, times) in LISTENERS.into_iter().zip(&mut all) {
            let listeners = Listeners::new(&server, count.into(), &as_a_cache("test:"));
            for _ in 0..effort.rounds(200) {
                writer.send_packed_command(&write).unwrap();
                let began = Instant::now();
                let found = cache.get("p-001", load_loaf).unwrap();
                times.push(1e6 * began.elapsed().as_secs_f64());
                assert_eq!(found.source(), Source::Hit);
                writer.recv_response().unwrap();
            }
            drop(listeners);
            meter.wait_until_nobody_listens();
        }
        done();
    }
    all.map(|mut times| {
        let middle = times.len() / 2;
        *times.select_nth_unstable_by(middle, f64::total_cmp).1
    })
}
