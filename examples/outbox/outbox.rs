//! An outbox in SQLite, to copy.
//!
//! Transactions of SQLite commit one after the other. So a row that appears later always has a
//! higher position.

use std::{error::Error, path::Path, time::Duration};

use cache_aside::{Outbox, OutboxEntry};
use rusqlite::{Connection, OpenFlags, Row, Transaction};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Adds a record to the outbox. Call it in the transaction that changes the record.
pub(crate) fn add(transaction: &Transaction<'_>, cache: &str, id: u32) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO outbox (cache, id) VALUES (?1, ?2)")?
        .execute((cache, id.to_string()))?;
    Ok(())
}

/// The outbox, over a connection of its own.
pub(crate) struct SqliteOutbox(Connection);

impl SqliteOutbox {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<SqliteOutbox> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // It takes its turn among the writers of the program.
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(SqliteOutbox(connection))
    }
}

impl Outbox for SqliteOutbox {
    fn fetch(&mut self, caches: &[&str], limit: usize) -> Outcome<Vec<OutboxEntry>> {
        let limit = i64::try_from(limit)?;
        let mut query = self.0.prepare_cached(
            "SELECT position, cache, id, 1000 * unixepoch('subsec') - created_at
             FROM outbox
             WHERE cache IN (SELECT value FROM json_each(?1))
             ORDER BY position
             LIMIT ?2",
        )?;
        let entries = query.query_map((serde_json::to_string(caches)?, limit), entry)?;
        Ok(entries.collect::<Result<_, _>>()?)
    }

    fn acknowledge(&mut self, positions: &[i64]) -> Outcome<()> {
        self.0
            .prepare_cached(
                "DELETE FROM outbox WHERE position IN (SELECT value FROM json_each(?1))",
            )?
            .execute([serde_json::to_string(positions)?])?;
        Ok(())
    }

    fn count(&mut self, caches: &[&str]) -> Outcome<Option<u64>> {
        let count: i64 = self
            .0
            .prepare_cached(
                "SELECT count(*) FROM outbox WHERE cache IN (SELECT value FROM json_each(?1))",
            )?
            .query_row([serde_json::to_string(caches)?], |row| row.get(0))?;
        Ok(Some(count.try_into()?))
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    let (cache, id): (String, String) = (row.get(1)?, row.get(2)?);
    // A clock that was set back would make it negative.
    let age = row.get::<_, f64>(3)?.max(0.0);
    Ok(OutboxEntry::new(row.get(0)?, cache, id).age(Duration::from_secs_f64(age / 1e3)))
}
