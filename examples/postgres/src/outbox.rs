//! An outbox in PostgreSQL, to copy. NOTIFY wakes the relay soon; polling finds what it missed.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use cache_aside::{Outbox, OutboxEntry, OutboxRelay};
use postgres::{Client, Row, Transaction, fallible_iterator::FallibleIterator};

use crate::servers::connect;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A statement that takes longer is given up, and repeated by the relay.
const TIMEOUT: &str = "SET statement_timeout = '5s'";

/// Adds a record to the outbox, in the transaction that changes the record. The notification is
/// sent at its commit.
pub(crate) fn add(
    transaction: &mut Transaction<'_>,
    cache: &str,
    id: &str,
) -> Result<(), postgres::Error> {
    transaction.execute(
        "INSERT INTO outbox (cache, id) VALUES ($1, $2)",
        &[&cache, &id],
    )?;
    transaction.execute("NOTIFY outbox", &[])?;
    Ok(())
}

/// The outbox, over a connection to the primary. A connection that broke is opened again.
pub(crate) struct PostgresOutbox {
    socket: PathBuf,
    client: Option<Client>,
}

impl PostgresOutbox {
    pub(crate) fn new(socket: &Path) -> PostgresOutbox {
        PostgresOutbox {
            socket: socket.to_owned(),
            client: None,
        }
    }

    /// Runs statements. After a failure the next call opens a new connection.
    fn with<T>(
        &mut self,
        run: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Outcome<T> {
        let mut client = if let Some(client) = self.client.take() {
            client
        } else {
            let mut client = connect(&self.socket)?;
            client.batch_execute(TIMEOUT)?;
            client
        };
        let done = run(&mut client)?;
        self.client = Some(client);
        Ok(done)
    }
}

impl Outbox for PostgresOutbox {
    fn fetch(&mut self, caches: &[&str], limit: usize) -> Outcome<Vec<OutboxEntry>> {
        let limit = i64::try_from(limit)?;
        let rows = self.with(|client| {
            client.query(
                "SELECT position, cache, id,
                        extract(epoch FROM clock_timestamp() - created_at)::float8
                 FROM outbox
                 WHERE cache = ANY($1)
                 ORDER BY position
                 LIMIT $2",
                &[&caches, &limit],
            )
        })?;
        Ok(rows.iter().map(entry).collect())
    }

    // These and no others: a lower position may have appeared since.
    fn acknowledge(&mut self, positions: &[i64]) -> Outcome<()> {
        self.with(|client| {
            client.execute("DELETE FROM outbox WHERE position = ANY($1)", &[&positions])
        })?;
        Ok(())
    }

    fn count(&mut self, caches: &[&str]) -> Outcome<Option<u64>> {
        let row = self.with(|client| {
            client.query_one(
                "SELECT count(*) FROM outbox WHERE cache = ANY($1)",
                &[&caches],
            )
        })?;
        Ok(Some(row.get::<_, i64>(0).unsigned_abs()))
    }
}

fn entry(row: &Row) -> OutboxEntry {
    let (cache, id): (&str, &str) = (row.get(1), row.get(2));
    // A clock that was set back would make it negative.
    let age = row.get::<_, f64>(3).max(0.0);
    OutboxEntry::new(row.get(0), cache, id).age(Duration::from_secs_f64(age))
}

/// Starts a thread that wakes the relay when a transaction with an entry commits. It ends within a
/// second after the drop of the relay.
///
/// Notifications that come while its connection is broken are lost. The relay polls, so they are
/// only late.
pub(crate) fn listen(socket: &Path, relay: &Arc<OutboxRelay>) -> Outcome<()> {
    let (socket, relay) = (socket.to_owned(), Arc::downgrade(relay));
    thread::Builder::new()
        .name("outbox-listener".to_owned())
        .spawn(move || {
            while relay.strong_count() > 0 {
                // At the end of the program the server may end first.
                if let Err(error) = forward(&socket, &relay)
                    && relay.strong_count() > 0
                {
                    eprintln!("postgres: LISTEN failed, the relay polls meanwhile: {error}");
                    thread::sleep(Duration::from_secs(1));
                }
            }
        })?;
    Ok(())
}

/// Forwards notifications until the relay is dropped.
fn forward(socket: &Path, relay: &Weak<OutboxRelay>) -> Outcome<()> {
    let mut client = connect(socket)?;
    client.batch_execute("LISTEN outbox")?;
    // Entries from before the LISTEN.
    while let Some(relay) = relay.upgrade() {
        relay.wake();
        // Not held while this thread waits: the drop of the program's handle must end the relay.
        drop(relay);
        wait_for_one(&mut client)?;
    }
    Ok(())
}

/// Waits for a notification, or for a second. The relay is then woken for nothing, which costs a
/// query.
fn wait_for_one(client: &mut Client) -> Result<(), postgres::Error> {
    let mut notifications = client.notifications();
    notifications.timeout_iter(Duration::from_secs(1)).next()?;
    Ok(())
}
