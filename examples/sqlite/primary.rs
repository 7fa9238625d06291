//! The primary store: SQLite, a connection for each thread. Knows nothing of the cache.

use std::{path::Path, time::Duration};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Result, Row, Transaction, TransactionBehavior, params,
};
use serde::{Deserialize, Serialize};

/// The page of a product, as it is cached: costly to compute, and read often.
///
/// The fields about other products of the category change slowly, and may be as old as the TTL. The
/// product's own fields are never stale.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    name: String,
    category: String,
    price_cents: u32,
    stock: u32,
    pub(crate) version: u32,
    ratings: u32,
    /// The mean. `None` without ratings; the record then lacks this field.
    stars: Option<f64>,
    /// The rank in its category, by stars.
    place: u32,
    places: u32,
    /// The mean price in the category.
    category_cents: u32,
}

/// The change that a write makes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Price { cents: u32 },
    Rating { customer: u32, stars: u32 },
}

/// One connection to the shop.
pub(crate) struct Primary(Connection);

impl Primary {
    pub(crate) fn open(path: &Path) -> Result<Primary> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // The fastest settings of SQLite. Readers do not wait for the writer, and a commit does not
        // wait for the disk. Pages that the system has in memory are not copied.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "mmap_size", 1 << 30)?;
        // Writers wait for each other.
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(Primary(connection))
    }

    /// The product with this number.
    pub(crate) fn read(&self, number: u32) -> Result<Option<Product>> {
        self.0
            .prepare_cached(include_str!("product.sql"))?
            .query_row([number], product)
            .optional()
    }

    /// One row by its key, for comparison: a read that needs no cache.
    pub(crate) fn read_price(&self, number: u32) -> Result<u32> {
        self.0
            .prepare_cached("SELECT price_cents FROM product WHERE id = ?1")?
            .query_row([number], |row| row.get(0))
    }

    /// Changes a product, and returns its new version.
    pub(crate) fn write(&mut self, number: u32, change: Change) -> Result<u32> {
        let transaction = self
            .0
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        apply(&transaction, number, change)?;
        let version = transaction
            .prepare_cached(
                "UPDATE product SET version = version + 1 WHERE id = ?1 RETURNING version",
            )?
            .query_row([number], |row| row.get(0))?;
        transaction.commit()?;
        Ok(version)
    }
}

fn apply(transaction: &Transaction<'_>, number: u32, change: Change) -> Result<usize> {
    match change {
        Change::Price { cents } => transaction
            .prepare_cached("UPDATE product SET price_cents = ?2 WHERE id = ?1")?
            .execute(params![number, cents]),
        Change::Rating { customer, stars } => transaction
            .prepare_cached(
                "INSERT INTO rating (product, customer, stars) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET stars = excluded.stars",
            )?
            .execute(params![number, customer, stars]),
    }
}

fn product(row: &Row<'_>) -> Result<Product> {
    Ok(Product {
        name: row.get("name")?,
        category: row.get("category")?,
        price_cents: row.get("price_cents")?,
        stock: row.get("stock")?,
        version: row.get("version")?,
        ratings: row.get("ratings")?,
        stars: row.get("stars")?,
        place: row.get("place")?,
        places: row.get("places")?,
        category_cents: row.get("category_cents")?,
    })
}
