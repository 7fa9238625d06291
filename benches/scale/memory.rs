//! The server's memory for records, leases, guards and connections.

use std::{thread, time::Duration};

use cache_aside::scripts;
use redis::{Cmd, Connection};

use crate::{
    Effort,
    listeners::{as_a_cache, asking_for, connect},
    meter::Meter,
    support::{Server, loaf},
};

/// The size of one object, in bytes.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) bytes: f64,
}

/// Keys as a program would choose them.
fn keys(number: usize) -> (String, String) {
    let data = format!("cache:product:{number:07}");
    let lease = format!("lock:{{{data}}}");
    (data, lease)
}

/// A record with four fields of `bytes` bytes each.
fn record(bytes: usize) -> Vec<(String, String)> {
    let value = "v".repeat(bytes);
    (0..4)
        .map(|field| (format!("field_{field}"), value.clone()))
        .collect()
}

/// After five seconds, the server frees the memory that an idle connection does not need.
const SETTLE: Duration = Duration::from_secs(7);

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn sizes(effort: Effort, done: impl Fn()) -> Vec<Size> {
    let server = Server::start_on_port();
    let (mut meter, mut direct) = (Meter::new(&server), server.connect());
    let loaf: Vec<_> = loaf()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut sizes = Vec::new();
    let mut measure = |name, count: usize, write: &dyn Fn(usize) -> Vec<Cmd>| {
        let count = if effort.in_earnest { count } else { 100 };
        let bytes = grown(&mut meter, &mut direct, count, write);
        sizes.push(Size { name, bytes });
        done();
    };
    let hash = |fields: &[(String, String)], number: usize| {
        let key = &keys(number).0;
        vec![
            Cmd::hset_multiple(key, fields),
            Cmd::pexpire(key, 3_600_000),
        ]
    };
    // This number fills three quarters of a hash table, the average between two doublings.
    measure("a record of 4 fields, 46 bytes", 98_304, &|n| {
        hash(&loaf, n)
    });
    measure("… of 4 fields, 1 KB", 49_152, &|n| hash(&record(256), n));
    measure("… of 4 fields, 10 KB", 12_288, &|n| {
        hash(&record(2_560), n)
    });
    measure("a lease", 98_304, &|n| {
        let mut set = redis::cmd("SET");
        set.arg(keys(n).1).arg(TOKEN).arg("PX").arg(3_600_000);
        vec![set]
    });
    measure("a guard of one writer", 98_304, &|n| {
        let (data, lease) = keys(n);
        let mut guard = redis::cmd("EVAL");
        guard.arg(scripts::GUARD).arg(2).arg(data).arg(lease);
        guard.arg(TOKEN).arg(TOKEN).arg(3_600_000);
        vec![guard]
    });
    connections(effort, &server, &mut meter, &mut sizes, &done);
    sizes
}

/// How much memory of the server each of `count` objects takes.
#[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
fn grown(
    meter: &mut Meter,
    direct: &mut Connection,
    count: usize,
    write: &dyn Fn(usize) -> Vec<Cmd>,
) -> f64 {
    let flush = redis::cmd("FLUSHALL");
    flush.exec(direct).unwrap();
    let before = meter.memory();
    for first in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for request in (first..count.min(first + 1_000)).flat_map(write) {
            pipeline.add_command(request).ignore();
        }
        pipeline.exec(direct).unwrap();
    }
    let bytes = (meter.memory() - before) / count as f64;
    flush.exec(direct).unwrap();
    bytes
}

fn connections(
    effort: Effort,
    server: &Server,
    meter: &mut Meter,
    sizes: &mut Vec<Size>,
    done: &impl Fn(),
) {
    let count: u32 = if effort.in_earnest { 300 } else { 3 };
    let mut of_each = |first_words: &str| {
        let there = meter.number("clients", "connected_clients");
        let before = meter.memory();
        let all = connect(server, count as usize, first_words);
        let fresh = meter.memory();
        if effort.in_earnest {
            thread::sleep(SETTLE);
        }
        let idle = meter.memory();
        drop(all);
        // The next measurement begins when the server has closed these connections.
        while meter.number("clients", "connected_clients") > there {
            thread::sleep(Duration::from_millis(1));
        }
        done();
        let of_one = |after: f64| (after - before) / f64::from(count);
        (of_one(fresh), of_one(idle))
    };
    let (fresh, idle) = of_each("HELLO 3\r\n");
    let (_, listening) = of_each(&asking_for(&as_a_cache("cache:product:")));
    let many = |prefixes: usize| -> Vec<_> {
        (0..prefixes)
            .map(|number| format!("cache:kind-{number:03}:"))
            .collect()
    };
    let (_, of_many) = of_each(&asking_for(&many(100)));
    sizes.extend([
        Size {
            name: "a connection that was used just now",
            bytes: fresh,
        },
        Size {
            name: "… idle for some seconds",
            bytes: idle,
        },
        Size {
            name: "… that listens as a near cache does",
            bytes: listening,
        },
        Size {
            name: "a listener's entry in the table of prefixes, each",
            bytes: (of_many - idle) / 100.0,
        },
    ]);
}
