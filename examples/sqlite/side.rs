//! One side of the comparison: its copy of the shop, its threads, and its cache, if it has one.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
    time::{Duration, Instant},
};

use cache_aside::Cache;

use crate::{
    Outcome,
    args::Args,
    figures::{Figures, Latencies, share},
    load::Load,
    primary::{Primary, Product},
    worker::{Shared, Worker},
};

pub(crate) struct Side<'a> {
    shared: Shared<'a>,
    workers: Vec<Worker>,
    /// How long the rounds of this side took.
    time: Duration,
    /// Hits and reads until the end of each round.
    tallies: Vec<(u64, u64)>,
}

impl<'a> Side<'a> {
    /// Copies the shop to `path` and opens a connection for each thread.
    pub(crate) fn new(
        args: &Args,
        seed: u64,
        cache: Option<Cache<Product>>,
        path: &Path,
        interrupted: &'a AtomicBool,
    ) -> Outcome<Side<'a>> {
        fs::copy(&args.db, path)?;
        let worker = |thread| {
            Ok(Worker {
                primary: Primary::open(path)?,
                load: Load::new(args, seed, thread),
                figures: Figures::default(),
            })
        };
        Ok(Side {
            shared: Shared {
                cache,
                forget: args.forget,
                settled: (0..args.rows).map(|_| AtomicU32::new(0)).collect(),
                interrupted,
            },
            workers: (0..args.threads).map(worker).collect::<Outcome<_>>()?,
            time: Duration::ZERO,
            tallies: Vec::new(),
        })
    }

    /// Lets each thread do its next operations.
    pub(crate) fn round(&mut self, operations: u64) -> Outcome<()> {
        let (shared, workers) = (&self.shared, &mut self.workers);
        let began = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> = workers
                .iter_mut()
                .map(|worker| scope.spawn(|| worker.work(shared, operations)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("a thread panicked"))
        })?;
        self.time += began.elapsed();
        let so_far = self.figures();
        self.tallies.push((so_far.hits(), so_far.reads().count()));
        Ok(())
    }

    /// The measurements of all threads.
    pub(crate) fn figures(&self) -> Figures {
        let mut all = Figures::default();
        for worker in &self.workers {
            all += &worker.figures;
        }
        all.time = self.time;
        all
    }

    /// The hit rate of the last fifth of the rounds, when most popular products are cached.
    pub(crate) fn late_hit_rate(&self) -> f64 {
        let (early, late) = self.tallies.split_at(self.tallies.len() * 4 / 5);
        let (early_hits, early_reads) = early.last().copied().unwrap_or_default();
        let (hits, reads) = late.last().copied().unwrap_or_default();
        share(hits - early_hits, reads - early_reads)
    }

    /// How long a read of one row by its key takes, without other load.
    pub(crate) fn single_rows(&mut self, reads: u32) -> Outcome<Latencies> {
        let worker = &mut self.workers[0];
        let mut latencies = Latencies::default();
        for _ in 0..reads {
            let number = worker.load.product();
            let began = Instant::now();
            worker.primary.read_price(number)?;
            latencies.add(began.elapsed());
        }
        Ok(latencies)
    }
}
