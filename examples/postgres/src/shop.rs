//! The primary store: products, how they are read and changed.

use std::path::Path;

use postgres::Client;
use serde::{Deserialize, Serialize};

use crate::{Outcome, outbox, servers::connect};

/// Few, so that most reads are hits, and each product changes often.
pub(crate) const PRODUCTS: u32 = 50;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Product {
    name: String,
    pub(crate) version: u64,
}

/// A connection to the primary or to the replica.
pub(crate) struct Shop(Client);

/// Makes the tables and the products.
pub(crate) fn create(client: &mut Client) -> Outcome<()> {
    client.batch_execute(include_str!("schema.sql"))?;
    let products = i32::try_from(PRODUCTS)?;
    client.execute(
        "INSERT INTO product (id, name) SELECT id, 'Loaf ' || id FROM generate_series(1, $1) AS id",
        &[&products],
    )?;
    Ok(())
}

impl Shop {
    pub(crate) fn open(socket: &Path) -> Outcome<Shop> {
        connect(socket).map(Shop)
    }

    pub(crate) fn read(&mut self, id: u32) -> Result<Option<Product>, postgres::Error> {
        let id = i32::try_from(id).unwrap_or(i32::MAX);
        let row = self
            .0
            .query_opt("SELECT name, version FROM product WHERE id = $1", &[&id])?;
        Ok(row.map(|row| Product {
            name: row.get(0),
            version: row.get::<_, i64>(1).unsigned_abs(),
        }))
    }

    /// Changes a product, and adds it to the outbox, in one transaction. Returns its new version.
    pub(crate) fn change(&mut self, cache: &str, id: u32) -> Result<u64, postgres::Error> {
        let number = i32::try_from(id).unwrap_or(i32::MAX);
        let mut transaction = self.0.transaction()?;
        let row = transaction.query_one(
            "UPDATE product SET version = version + 1 WHERE id = $1 RETURNING version",
            &[&number],
        )?;
        outbox::add(&mut transaction, cache, &id.to_string())?;
        transaction.commit()?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Removes what is in the outbox, for runs without a relay.
    pub(crate) fn forget_outbox(&mut self) -> Result<u64, postgres::Error> {
        self.0.execute("DELETE FROM outbox", &[])
    }
}
