//! One thread's work: timed reads and writes, with a check of each read.
//!
//! A writer records the new version after its write has returned. A reader reads that record
//! **before** its read begins, and must not get an older version.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Instant,
};

use cache_aside::Cache;

use crate::{
    Outcome,
    figures::{Figures, How},
    load::{Load, Operation},
    primary::{Change, Primary, Product},
};

/// What the threads of one side share.
pub(crate) struct Shared<'a> {
    /// `None`: the threads only read SQLite.
    pub(crate) cache: Option<Cache<Product>>,
    /// Whether writes skip the invalidation.
    pub(crate) forget: bool,
    /// The newest version of each product whose write has returned; 0 if there was none.
    pub(crate) settled: Vec<AtomicU32>,
    pub(crate) interrupted: &'a AtomicBool,
}

pub(crate) struct Worker {
    pub(crate) primary: Primary,
    pub(crate) load: Load,
    pub(crate) figures: Figures,
}

impl Worker {
    pub(crate) fn work(&mut self, shared: &Shared<'_>, operations: u64) -> Outcome<()> {
        for _ in 0..operations {
            if shared.interrupted.load(SeqCst) {
                return Err("interrupted".into());
            }
            match self.load.next() {
                Operation::Read { product } => self.read(shared, product)?,
                Operation::Write { product, change } => self.write(shared, product, change)?,
            }
        }
        Ok(())
    }

    fn read(&mut self, shared: &Shared<'_>, number: u32) -> Outcome<()> {
        let settled = shared.settled(number).load(SeqCst);
        let began = Instant::now();
        let (how, version) = if let Some(cache) = &shared.cache {
            let found = cache.get(&number.to_string(), |_| {
                self.figures.primary_reads += 1;
                self.primary.read(number)
            })?;
            let product = found.record().ok_or("a product is missing")?;
            (How::from(found.source()), product.version)
        } else {
            self.figures.primary_reads += 1;
            let product = self.primary.read(number)?.ok_or("a product is missing")?;
            (How::Alone, product.version)
        };
        self.figures.add_read(how, began.elapsed());
        if version < settled {
            self.figures.add_stale(format!(
                "product {number} in version {version} ({how:?}), after the write of version {settled} had returned"
            ));
        }
        Ok(())
    }

    fn write(&mut self, shared: &Shared<'_>, number: u32, change: Change) -> Outcome<()> {
        let began = Instant::now();
        let version = match &shared.cache {
            Some(cache) if !shared.forget => cache
                .write(&number.to_string(), || self.primary.write(number, change))?
                .into_value(),
            _ => self.primary.write(number, change)?,
        };
        self.figures.writes.add(began.elapsed());
        shared.settled(number).fetch_max(version, SeqCst);
        Ok(())
    }
}

impl Shared<'_> {
    /// Products are counted from 1.
    fn settled(&self, number: u32) -> &AtomicU32 {
        &self.settled[number as usize - 1]
    }
}
