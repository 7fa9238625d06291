//! The cost of prefixes with listeners, of which at most one matches. Redis checks all of them for
//! each changed key, and at the end of each turn.

use cache_aside::{Cache, Source};

use crate::{
    Effort,
    listeners::Listeners,
    meter::{Meter, least},
    patient,
    support::{Server, load_loaf},
};

pub(crate) const PREFIXES: [u16; 5] = [0, 1, 10, 100, 1_000];

/// The cost for the server in microseconds, by the number of prefixes.
pub(crate) struct Walked {
    /// A turn with one hit.
    pub(crate) hit: [f64; PREFIXES.len()],
    /// One write of a hundred in a turn.
    pub(crate) write: [f64; PREFIXES.len()],
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub(crate) fn prefixes(effort: Effort, done: impl Fn()) -> Walked {
    let server = Server::start_on_port();
    let (mut meter, mut direct) = (Meter::new(&server), server.connect());
    let cache: Cache = patient::cache(&server.url()).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let (hits, turns) = (effort.rounds(2_000), effort.rounds(100));
    let mut all = PREFIXES.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..effort.rounds(7) {
        for (count, (hit, write)) in PREFIXES.into_iter().zip(&mut all) {
            let asked: Vec<_> = (0..count)
                .map(|number| match number {
                    0 => "test:".to_owned(),
                    _ => format!("kind-{number:03}:"),
                })
                .collect();
            let listeners = Listeners::new(&server, usize::from(count > 0), &asked);
            let spent = meter.spent(|| {
                for _ in 0..hits {
                    assert_eq!(cache.get("p-001", load_loaf).unwrap().source(), Source::Hit);
                }
            });
            hit.push(spent.cpu / hits as f64);
            let mut pipeline = redis::pipe();
            for number in 0..100 {
                pipeline
                    .hset(format!("test:w-{number:03}"), "stock", "41")
                    .ignore();
            }
            let spent =
                meter.spent(|| (0..turns).for_each(|_| pipeline.exec(&mut direct).unwrap()));
            write.push(spent.cpu / (100 * turns) as f64);
            drop(listeners);
            meter.wait_until_nobody_listens();
        }
        done();
    }
    Walked {
        hit: std::array::from_fn(|which| least(&all[which].0)),
        write: std::array::from_fn(|which| least(&all[which].1)),
    }
}
