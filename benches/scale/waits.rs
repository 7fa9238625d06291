//! How often callers poll while they wait for a load of another process.

use std::{convert::Infallible, sync::Barrier, thread, time::Duration};

use cache_aside::Cache;

use crate::{
    Effort,
    meter::Meter,
    patient,
    support::{Server, load_loaf, loaf, until},
};

pub(crate) const LOADS: [u16; 4] = [10, 30, 100, 1_000];

/// How many processes wait.
const WAITERS: usize = 8;

/// Requests of one waiting process, by the duration of the load in milliseconds.
pub(crate) struct Waits {
    pub(crate) polling: [f64; LOADS.len()],
    pub(crate) woken: [f64; LOADS.len()],
}

pub(crate) fn waits(effort: Effort, done: impl Fn()) -> Waits {
    let [polling, woken] = [false, true].map(|tracking| {
        let server = Server::start_on_port();
        let mut meter = Meter::new(&server);
        // Each cache has its own connections, and so its own loads, as in a separate process.
        let caches: Vec<Cache> = (0..=WAITERS)
            .map(|_| {
                patient::cache(&server.url())
                    .tracking(tracking)
                    .build()
                    .unwrap()
            })
            .collect();
        until(|| {
            caches
                .iter()
                .all(|cache| cache.stats().tracking_live == tracking)
        });
        let rounds = effort.rounds(5);
        LOADS.map(|millis| {
            let spent = meter.spent(|| (0..rounds).for_each(|_| round(&caches, millis)));
            done();
            questions(spent.command("evalsha").0, rounds)
        })
    });
    Waits { polling, woken }
}

/// Each round has one `invalidate`, one `acquire` and one `fill`. The other requests come from the
/// callers that wait.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn questions(scripts: f64, rounds: usize) -> f64 {
    (scripts / rounds as f64 - 3.0) / WAITERS as f64
}

fn round(caches: &[Cache], millis: u16) {
    let (leader, waiters) = caches.split_first().expect("there are nine");
    leader.invalidate("k").unwrap();
    let loads = Barrier::new(waiters.len() + 1);
    thread::scope(|scope| {
        for waiter in waiters {
            scope.spawn(|| {
                loads.wait();
                waiter.get("k", load_loaf).unwrap();
            });
        }
        let load = |_: &str| {
            loads.wait();
            thread::sleep(Duration::from_millis(millis.into()));
            Ok::<_, Infallible>(Some(loaf()))
        };
        leader.get("k", load).unwrap();
    });
}
