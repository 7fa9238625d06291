//! `MockPrimaryStore`: the slow store behind the cache, a table of four products.
//!
//! Reads like a database with committed reads: a read returns the values of the moment at which it
//! began, even if it takes long. So a read that an update overtakes returns the old value, and the
//! race that invalidation must win is real.

use std::{
    error::Error,
    fmt,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Duration,
};

use cache_aside::Record;
use parking_lot::Mutex;

pub(crate) struct MockPrimaryStore {
    /// How long each read sleeps.
    latency: Duration,
    /// Whether each read and update fails.
    fails: AtomicBool,
    /// Held for reads and changes, never during the sleep.
    table: Mutex<Table>,
}

struct Table {
    products: Vec<(&'static str, Record)>,
    /// How many reads began since the start or the last reset. Those of unknown ids count too,
    /// because they cost as much.
    reads: u64,
}

/// The error of a primary store that is down.
#[derive(Debug)]
pub(crate) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the primary store is down")
    }
}

impl Error for Down {}

/// Why an update was refused.
pub(crate) enum Refusal {
    Down,
    UnknownProduct,
    /// A table has a fixed set of columns.
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
            fails: AtomicBool::new(false),
            table: Mutex::new(Table {
                products: products.into(),
                reads: 0,
            }),
        }
    }

    /// Reads a product, slowly.
    pub(crate) fn read(&self, id: &str) -> Result<Option<Record>, Down> {
        let snapshot = {
            let mut table = self.table.lock();
            table.reads += 1;
            table.product(id).cloned()
        };
        self.answer(snapshot)
    }

    /// Reads many products in the time of one: `SELECT … WHERE id IN (…)`. Leaves out ids that do
    /// not exist.
    pub(crate) fn read_many(&self, ids: &[&str]) -> Result<Vec<(String, Record)>, Down> {
        let snapshot = {
            let mut table = self.table.lock();
            table.reads += 1;
            let found = ids
                .iter()
                .filter_map(|id| Some(((*id).to_owned(), table.product(id)?.clone())));
            found.collect()
        };
        self.answer(snapshot)
    }

    /// Reads all products in the time of one.
    pub(crate) fn read_all(&self) -> Result<Vec<Record>, Down> {
        let snapshot = {
            let mut table = self.table.lock();
            table.reads += 1;
            let products = table.products.iter();
            products.map(|(_, product)| product.clone()).collect()
        };
        self.answer(snapshot)
    }

    /// Takes as long if the store is down.
    fn answer<T>(&self, snapshot: T) -> Result<T, Down> {
        let fails = self.fails();
        thread::sleep(self.latency);
        if fails { Err(Down) } else { Ok(snapshot) }
    }

    /// Switches failures on or off.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, SeqCst);
    }

    pub(crate) fn fails(&self) -> bool {
        self.fails.load(SeqCst)
    }

    /// Whether this field could be changed now.
    pub(crate) fn check_field(&self, id: &str, field: &str) -> Result<(), Refusal> {
        let mut table = self.table.lock();
        self.changeable(&mut table, id, field).map(drop)
    }

    /// Sets one field of a product. Every read that begins after this call sees the new value.
    pub(crate) fn update_field(&self, id: &str, field: &str, value: &str) -> Result<(), Refusal> {
        let mut table = self.table.lock();
        let product = self.changeable(&mut table, id, field)?;
        product.insert(field, value);
        Ok(())
    }

    fn changeable<'a>(
        &self,
        table: &'a mut Table,
        id: &str,
        field: &str,
    ) -> Result<&'a mut Record, Refusal> {
        if self.fails() {
            return Err(Refusal::Down);
        }
        let product = table.product(id).ok_or(Refusal::UnknownProduct)?;
        // The id is the key of the row, not a column to change.
        if field == "id" || product.get(field).is_none() {
            return Err(Refusal::UnknownField);
        }
        Ok(product)
    }

    pub(crate) fn ids(&self) -> Vec<&'static str> {
        let table = self.table.lock();
        table.products.iter().map(|(id, _)| *id).collect()
    }

    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// Reads since the start or the last reset. A read of many products counts once.
    pub(crate) fn reads(&self) -> u64 {
        self.table.lock().reads
    }

    pub(crate) fn reset_reads(&self) {
        self.table.lock().reads = 0;
    }
}

impl Table {
    fn product(&mut self, id: &str) -> Option<&mut Record> {
        let (_, product) = self.products.iter_mut().find(|(known, _)| *known == id)?;
        Some(product)
    }
}
