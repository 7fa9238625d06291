//! The primary store: products, how they are read and changed.

use std::path::Path;

use cache_aside::{Cache, UnitOfWork};
use postgres::{Client, types::PgLsn};
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

/// A product, as it was read.
pub(crate) struct Read {
    pub(crate) product: Option<Product>,
    /// The position of the log up to which the replica had applied all changes before the read. It
    /// is the version of the record.
    pub(crate) replayed: u64,
}

/// A change that is committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) version: u64,
    /// A position of the log behind the change.
    pub(crate) written: u64,
}

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

    /// Reads from a replica.
    ///
    /// The position is read first, and by a statement of its own. In one statement, the replica
    /// would take its snapshot before it asks for the position, and a change in between would be
    /// in the position but not in the record.
    pub(crate) fn read_replica(&mut self, id: u32) -> Result<Read, postgres::Error> {
        let replayed = self.position("SELECT pg_last_wal_replay_lsn()")?;
        Ok(Read {
            product: self.read(id)?,
            replayed,
        })
    }

    /// Changes a product, and adds it to the outbox, in one transaction.
    pub(crate) fn change(&mut self, cache: &str, id: u32) -> Result<Committed, postgres::Error> {
        let number = i32::try_from(id).unwrap_or(i32::MAX);
        let mut transaction = self.0.transaction()?;
        let row = transaction.query_one(
            "UPDATE product SET version = version + 1 WHERE id = $1 RETURNING version",
            &[&number],
        )?;
        outbox::add(&mut transaction, cache, &id.to_string())?;
        transaction.commit()?;
        // After the commit, so that the change is before this position.
        let written = self.position("SELECT pg_current_wal_insert_lsn()")?;
        Ok(Committed {
            version: row.get::<_, i64>(0).unsigned_abs(),
            written,
        })
    }

    /// Changes a product in a transaction, as a unit of work. Gives the unit back after the commit:
    /// the caller commits it too, or dies.
    pub(crate) fn change_in_unit<'a>(
        &mut self,
        cache: &'a Cache<Product>,
        id: u32,
    ) -> Outcome<(u64, UnitOfWork<'a>)> {
        let number = i32::try_from(id)?;
        let mut unit = UnitOfWork::new();
        let mut transaction = self.0.transaction()?;
        let row = transaction.query_one(
            "UPDATE product SET version = version + 1 WHERE id = $1 RETURNING version",
            &[&number],
        )?;
        unit.add(cache, id)?;
        // Last before the commit. If the commit fails, the drop of the unit ends the guard.
        unit.guard();
        transaction.commit()?;
        Ok((row.get::<_, i64>(0).unsigned_abs(), unit))
    }

    /// Removes what is in the outbox, for runs without a relay.
    pub(crate) fn forget_outbox(&mut self) -> Result<u64, postgres::Error> {
        self.0.execute("DELETE FROM outbox", &[])
    }

    fn position(&mut self, statement: &str) -> Result<u64, postgres::Error> {
        let position: PgLsn = self.0.query_one(statement, &[])?.try_get(0)?;
        Ok(position.into())
    }
}
