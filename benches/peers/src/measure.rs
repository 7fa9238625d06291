//! The order of the measurements, and the peers in each.

use std::{sync::Arc, time::Duration};

use indicatif::ProgressBar;

use crate::{
    peer::{ALL, BARE, HELPER, LOCKER, MOKA, Maker, Peer, QUICK, Setup},
    plan::{self, Plan},
    prove::prove,
    record::Primary,
    results::{Calls, ManyThreads, Results, Stampedes},
    rounds::bar,
    work::{calls, memory, stampede, threads},
};

pub(crate) fn measure(url: &str, plan: Plan) -> Results {
    let measurement = Measurement {
        url,
        plan,
        ids: names("p", plan::RECORDS),
        progress: bar(),
    };
    let results = Results {
        calls: measurement.calls(),
        near_bytes: measurement.memory(),
        stampedes: measurement.stampedes(),
        many_threads: measurement.many_threads(),
    };
    measurement.progress.finish_and_clear();
    results
}

struct Measurement<'a> {
    url: &'a str,
    plan: Plan,
    ids: Vec<String>,
    progress: ProgressBar,
}

impl Measurement<'_> {
    fn calls(&self) -> Calls {
        let makers = all_but(&[]);
        let peers = self.make(&makers);
        let primary = Arc::new(Primary::new(Duration::ZERO));
        self.begin(peers.len());
        for peer in &peers {
            self.say(&format!("{} as it should be", peer.name()));
            prove(&**peer);
            peer.warm(&self.ids, &primary);
            self.progress.inc(1);
        }
        let rounds = self.plan.call_rounds;
        let turns = calls::Call::ALL.map(|call| calls::turns(call, &peers, rounds));
        self.begin(turns.iter().sum());
        let figures = calls::Call::ALL.map(|call| {
            self.say(call.name());
            calls::measure(call, &peers, &self.ids, rounds, &self.progress)
        });
        Calls {
            makers,
            figures: figures.into(),
        }
    }

    fn memory(&self) -> Vec<Option<f64>> {
        let ids = names("k", self.plan.kept);
        self.begin(ALL.len());
        let measured = ALL.iter().map(|maker| {
            self.say(&format!("memory of {}", maker.name));
            let bytes = memory::measure(maker, &self.setup(), &ids);
            self.progress.inc(1);
            bytes
        });
        measured.collect()
    }

    fn stampedes(&self) -> Stampedes {
        // The bare peer would need a connection for each of a thousand threads. Otherwise it is
        // like r2d2.
        let makers = all_but(&[BARE]);
        let peers = self.make(&makers);
        let rounds = self.plan.stampede_rounds;
        self.begin(plan::STAMPEDES.len() * peers.len() * rounds);
        let figures = plan::STAMPEDES.map(|threads| {
            self.say(&format!("stampede of {threads} threads"));
            stampede::measure(threads, &peers, rounds, &self.progress)
        });
        Stampedes {
            makers,
            figures: figures.into(),
        }
    }

    fn many_threads(&self) -> ManyThreads {
        // A hit of the helper equals one of r2d2. The locker makes many threads wait. The others do
        // not ask Redis.
        let makers = all_but(&[HELPER, LOCKER, QUICK, MOKA]);
        let (few, many) = (plan::few(), plan::many());
        let turns = makers.len() * self.plan.thread_rounds;
        self.begin((few.len() + many.len()) * turns);
        let [few, many] = [few, many].map(|cells| {
            let figures = cells.map(|cell| {
                let (threads, connections) = (cell.threads, cell.connections);
                self.say(&format!("{threads} threads, {connections} connections"));
                let length = threads::Length {
                    turn: self.plan.turn,
                    rounds: self.plan.thread_rounds,
                };
                let setup = self.setup();
                threads::measure(cell, &makers, &setup, &self.ids, length, &self.progress)
            });
            figures.into()
        });
        ManyThreads { makers, few, many }
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            url: self.url,
            connections: plan::CONNECTIONS,
            threads: 1,
            // Room for more records than exist, so that no map evicts any.
            near: 2 * self.ids.len(),
        }
    }

    fn make(&self, makers: &[&Maker]) -> Vec<Box<dyn Peer>> {
        let make = |maker: &&Maker| (maker.make)(&self.setup());
        makers.iter().map(make).collect()
    }

    fn begin(&self, turns: usize) {
        self.progress.reset();
        self.progress.set_length(turns as u64);
    }

    fn say(&self, what: &str) {
        self.progress.set_message(what.to_owned());
    }
}

fn all_but(names: &[&str]) -> Vec<&'static Maker> {
    let wanted = |maker: &&Maker| !names.contains(&maker.name);
    ALL.iter().filter(wanted).collect()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}-{number:05}"))
        .collect()
}
