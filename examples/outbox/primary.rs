//! The primary store: SQLite. A change and its entry in the outbox are one transaction.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior};
use serde::{Deserialize, Serialize};

use crate::outbox;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Product {
    name: String,
    pub(crate) price_cents: u32,
}

pub(crate) struct Primary(Connection);

impl Primary {
    /// Makes the shop, with this many products.
    pub(crate) fn create(path: &Path, products: u32) -> Result<Primary> {
        let mut primary = Primary::open(path)?;
        primary.0.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = primary.0.transaction()?;
        transaction.execute_batch(include_str!("schema.sql"))?;
        for id in 1..=products {
            let name = format!("Loaf {id}");
            transaction
                .prepare_cached("INSERT INTO product VALUES (?1, ?2, 0)")?
                .execute((id, name))?;
        }
        transaction.commit()?;
        Ok(primary)
    }

    pub(crate) fn open(path: &Path) -> Result<Primary> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Primary(connection))
    }

    pub(crate) fn read(&self, id: u32) -> Result<Option<Product>> {
        self.0
            .prepare_cached("SELECT name, price_cents FROM product WHERE id = ?1")?
            .query_row([id], |row| {
                Ok(Product {
                    name: row.get(0)?,
                    price_cents: row.get(1)?,
                })
            })
            .optional()
    }

    /// Changes a price, and adds the product to the outbox, in one transaction.
    pub(crate) fn set_price(&mut self, cache: &str, id: u32, cents: u32) -> Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.0.transaction_with_behavior(behavior)?;
        transaction
            .prepare_cached("UPDATE product SET price_cents = ?2 WHERE id = ?1")?
            .execute((id, cents))?;
        outbox::add(&transaction, cache, id)?;
        transaction.commit()
    }

    /// How many entries wait in the outbox.
    pub(crate) fn waiting(&self) -> Result<u32> {
        self.0
            .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
    }
}
