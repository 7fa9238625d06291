//! How long a hit takes beside one writer who writes all the time, by the number of listeners to what it writes: by the clock,
//! since this is about waiting.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use cache_aside::{Cache, Source};

use crate::{
    Effort,
    listeners::{Listeners, as_a_cache},
    meter::Meter,
    patient,
    support::{Server, load_loaf},
};

pub(crate) const LISTENERS: [u16; 3] = [0, 100, 300];

/// Medians, in µs.
pub(crate) fn hits(effort: Effort, done: impl Fn()) -> [f64; LISTENERS.len()] {
    let server = Server::start_on_port();
    let mut meter = Meter::new(&server);
    let cache: Cache = patient::cache(&server).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let mut all = LISTENERS.map(|_| Vec::new());
    for _ in 0..effort.rounds(5) {
        for (count, times) in LISTENERS.into_iter().zip(&mut all) {
            let listeners = Listeners::new(&server, count.into(), &as_a_cache("test:"));
            beside_a_writer(&server, || {
                for _ in 0..effort.rounds(200) {
                    let began = Instant::now();
                    let found = cache.get("p-001", load_loaf).unwrap();
                    times.push(1e6 * began.elapsed().as_secs_f64());
                    assert_eq!(found.source(), Source::Hit);
                }
            });
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

fn beside_a_writer(server: &Server, work: impl FnOnce()) {
    let ended = AtomicBool::new(false);
    let mut direct = server.connect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let write = redis::Cmd::hset("test:other", "stock", "41");
            while !ended.load(Ordering::Acquire) {
                write.exec(&mut direct).unwrap();
            }
        });
        work();
        ended.store(true, Ordering::Release);
    });
}
