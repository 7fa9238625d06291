//! The cost for the server of pushing changes to listeners.
//!
//! Redis collects the changes of one turn of its event loop. At the end of the turn, it sends each
//! listener one message for each prefix with a change. So the cost depends on turns, and much less
//! on keys.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard},
};

use cache_aside::{Cache, Record, Source};
use redis::{Cmd, Connection};

use crate::{
    Effort,
    calls::spread,
    listeners::{Listeners, as_a_cache},
    meter::{Meter, least},
    patient,
    support::{Server, load_loaf, loaf},
};

pub(crate) const LISTENERS: [u16; 5] = [0, 1, 10, 100, 300];

/// The number of records.
const CALLS: usize = 400;
const WRITERS: usize = 16;

/// What one call costs, by the number of listeners.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    /// The cost for the server, in microseconds.
    pub(crate) cpu: [f64; LISTENERS.len()],
    /// Messages and bytes that each listener gets.
    pub(crate) messages: f64,
    pub(crate) bytes: f64,
}

impl Change {
    /// The microseconds that each listener adds.
    pub(crate) fn each_listener(&self) -> f64 {
        let last = LISTENERS.len() - 1;
        (self.cpu[last] - self.cpu[0]) / f64::from(LISTENERS[last])
    }
}

/// A call that changes records, with its inputs.
struct Changer<'a> {
    cache: &'a Cache,
    connections: Vec<Mutex<Connection>>,
}

struct Step {
    name: &'static str,
    /// The factor on the number of calls.
    times: usize,
    run: fn(&Changer<'_>, usize),
}

const STEPS: [Step; 9] = [
    step("a write, 1 a turn", 1, |changer, count| {
        changer.write(count, 1);
    }),
    step("… 10 a turn", 5, |changer, count| {
        changer.write(count, 10);
    }),
    step("… 100 a turn", 25, |changer, count| {
        changer.write(count, 100);
    }),
    step("… by 16 connections at once", 2, |changer, count| {
        changer.write_at_once(count);
    }),
    step("`update_field`", 1, |changer, count| {
        changer.each(count, |cache, id| {
            assert!(cache.update_field(id, "stock", "41").unwrap());
        });
    }),
    step("`invalidate`", 1, |changer, count| {
        changer.each(count, |cache, id| assert!(cache.invalidate(id).unwrap()));
    }),
    step("miss", 1, |changer, count| {
        changer.each(count, |cache, id| get(cache, id, Source::Loaded));
    }),
    step("hit", 1, |changer, count| {
        changer.each(count, |cache, id| get(cache, id, Source::Hit));
    }),
    step("`write`", 1, |changer, count| {
        changer.each(count, |cache, id| {
            drop(cache.write(id, || Ok::<_, Infallible>(())).unwrap());
        });
    }),
];

const fn step(name: &'static str, times: usize, run: fn(&Changer<'_>, usize)) -> Step {
    Step { name, times, run }
}

fn get(cache: &Cache, id: &str, source: Source) {
    assert_eq!(cache.get(id, load_loaf).unwrap().source(), source);
}

fn id(number: usize) -> String {
    format!("p-{:07}", number % CALLS)
}

fn key(number: usize) -> String {
    format!("test:{}", id(number))
}

impl Changer<'_> {
    fn connection(&self, number: usize) -> MutexGuard<'_, Connection> {
        self.connections[number].lock().unwrap()
    }

    fn each(&self, count: usize, call: impl Fn(&Cache, &str)) {
        (0..count).for_each(|number| call(self.cache, &id(number)));
    }

    /// Writes all records.
    fn fill(&self) {
        let record: Record = loaf();
        let fields: Vec<_> = record.iter().collect();
        let mut pipeline = redis::pipe();
        for number in 0..CALLS {
            pipeline.hset_multiple(key(number), &fields).ignore();
            pipeline.pexpire(key(number), 3_600_000).ignore();
        }
        pipeline.exec(&mut self.connection(0)).unwrap();
    }

    /// Writes `count` records. The server handles `in_a_turn` of them in one turn, as one request.
    fn write(&self, count: usize, in_a_turn: usize) {
        for first in (0..count).step_by(in_a_turn) {
            let mut pipeline = redis::pipe();
            for number in first..count.min(first + in_a_turn) {
                pipeline.hset(key(number), "stock", "41").ignore();
            }
            pipeline.exec(&mut self.connection(0)).unwrap();
        }
    }

    fn write_at_once(&self, count: usize) {
        spread(WRITERS, count, &|thread, number| {
            let write = Cmd::hset(key(number), "stock", "41");
            write.exec(&mut self.connection(thread)).unwrap();
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub(crate) fn changes(effort: Effort, done: impl Fn()) -> Vec<Change> {
    let server = Server::start_on_port();
    let mut meter = Meter::new(&server);
    let cache: Cache = patient::cache(&server.url()).build().unwrap();
    let changer = Changer {
        cache: &cache,
        connections: (0..WRITERS).map(|_| Mutex::new(server.connect())).collect(),
    };
    let mut all = STEPS.map(|_| LISTENERS.map(|_| Vec::new()));
    let mut pushed = STEPS.map(|_| (0.0, 0.0));
    let calls = if effort.in_earnest { CALLS } else { 2 };
    for _ in 0..effort.rounds(3) {
        for (which, count) in LISTENERS.into_iter().enumerate() {
            let listeners = Listeners::new(&server, count.into(), &as_a_cache("test:"));
            changer.fill();
            for ((step, rounds), pushed) in STEPS.iter().zip(&mut all).zip(&mut pushed) {
                let calls = step.times * calls;
                let before = listeners.settled();
                let spent = meter.spent(|| (step.run)(&changer, calls));
                rounds[which].push(spent.cpu / calls as f64);
                let heard = listeners.settled();
                // Keeps the last value: the pushes to each listener do not depend on the number of
                // listeners.
                let of_each = |all: u64| all as f64 / f64::from(count.max(1)) / calls as f64;
                *pushed = (
                    of_each(heard.messages - before.messages),
                    of_each(heard.bytes - before.bytes),
                );
            }
            drop(listeners);
            meter.wait_until_nobody_listens();
            done();
        }
    }
    let found = STEPS.iter().zip(all).zip(pushed);
    let change =
        |((step, rounds), (messages, bytes)): ((&Step, [Vec<f64>; LISTENERS.len()]), _)| Change {
            name: step.name,
            cpu: rounds.map(|rounds| least(&rounds)),
            messages,
            bytes,
        };
    found.map(change).collect()
}
