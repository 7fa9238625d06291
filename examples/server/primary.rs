//! `MockPrimaryStore`: the slow store that the cache stands in front of, a table of four products.
//!
//! Guarantees what a database with committed reads does: a read returns what stood when it began, however
//! long it takes. So a read that an update overtakes brings back the old value, and the race that
//! invalidation must win is real.

use std::{collections::HashMap, thread, time::Duration};

use cache_aside::Record;
use parking_lot::Mutex;

pub(crate) struct MockPrimaryStore {
    /// How long each read sleeps.
    latency: Duration,
    /// Held for look-ups and changes, never during the sleep.
    table: Mutex<Table>,
}

struct Table {
    products: Vec<(&'static str, Record)>,
    /// Reads of each id since the start or the last reset; of unknown ids too, they cost as much.
    reads: HashMap<String, u64>,
}

/// Why an update was refused.
pub(crate) enum Refusal {
    UnknownProduct,
    /// A table has the columns it has.
    UnknownField,
}

impl MockPrimaryStore {
    pub(crate) fn new(latency: Duration) -> MockPrimaryStore {
        let products = [
            ("p-001", "Sourdough Loaf", "650", "42"),
            ("p-002", "Espresso Beans 250g", "1495", "120"),
            ("p-003", "Olive Oil 500ml", "1200", "8"),
            ("p-004", "Sea Salt Flakes", "475", "60"),
        ]
        .map(|(id, name, price_cents, stock)| {
            let record = Record::from([
                ("id", id),
                ("name", name),
                ("price_cents", price_cents),
                ("stock", stock),
            ]);
            (id, record)
        });
        MockPrimaryStore {
            latency,
            table: Mutex::new(Table {
                products: products.into(),
                reads: HashMap::new(),
            }),
        }
    }

    /// Reads a product, slowly.
    pub(crate) fn read(&self, id: &str) -> Option<Record> {
        let snapshot = {
            let mut table = self.table.lock();
            *table.reads.entry(id.to_owned()).or_default() += 1;
            table.product(id).cloned()
        };
        thread::sleep(self.latency);
        snapshot
    }

    /// Sets one field of a product. Every read that begins after this returned sees it.
    pub(crate) fn update_field(&self, id: &str, field: &str, value: &str) -> Result<(), Refusal> {
        let mut table = self.table.lock();
        let product = table.product(id).ok_or(Refusal::UnknownProduct)?;
        // The id is the row's key, no column to change.
        if field == "id" || product.get(field).is_none() {
            return Err(Refusal::UnknownField);
        }
        product.set(field, value);
        Ok(())
    }

    pub(crate) fn ids(&self) -> Vec<&'static str> {
        let table = self.table.lock();
        table.products.iter().map(|(id, _)| *id).collect()
    }

    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// Reads of all ids since the start or the last reset.
    pub(crate) fn reads(&self) -> u64 {
        self.table.lock().reads.values().sum()
    }

    /// Reads of one id, so that other traffic does not disturb who counts them.
    pub(crate) fn reads_of(&self, id: &str) -> u64 {
        self.table.lock().reads.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn reset_reads(&self) {
        self.table.lock().reads.clear();
    }
}

impl Table {
    fn product(&mut self, id: &str) -> Option<&mut Record> {
        let (_, product) = self.products.iter_mut().find(|(known, _)| *known == id)?;
        Some(product)
    }
}
