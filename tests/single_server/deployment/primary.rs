//! The primary: a server of its own. Beside each row it has the floor: what a lookup that begins
//! now must return at least.

use std::collections::HashMap;

use redis::{Client, Connection, cmd};

use super::product::Row;

/// A connection of one thread.
pub(super) struct Primary(Connection);

impl Primary {
    pub(super) fn at(url: &str) -> Primary {
        Primary(Client::open(url).unwrap().get_connection().unwrap())
    }

    /// Reads a row, all of it at one moment.
    pub(super) fn row(&mut self, id: u32) -> Row {
        let mut read = cmd("HMGET");
        read.arg(format!("row:{id}")).arg(&["version", "stock"]);
        let columns: [Option<u64>; 2] = read.query(&mut self.0).unwrap();
        let [version, stock] = columns.map(Option::unwrap_or_default);
        Row { version, stock }
    }

    /// Commits a change of a column, and returns its new value.
    pub(super) fn change(&mut self, id: u32, column: &str) -> u64 {
        let mut change = cmd("HINCRBY");
        change.arg(format!("row:{id}")).arg(column).arg(1);
        change.query(&mut self.0).unwrap()
    }

    /// Notes that a write has returned. Each program has a floor of its own, which only grows.
    pub(super) fn written(&mut self, program: u32, id: u32, column: &str, value: u64) {
        let mut note = cmd("HSET");
        note.arg(format!("floor:{id}"));
        note.arg(format!("{column} {program}")).arg(value);
        note.exec(&mut self.0).unwrap();
    }

    /// What a lookup that begins now must return at least.
    pub(super) fn floor(&mut self, id: u32) -> Row {
        let mut read = cmd("HGETALL");
        read.arg(format!("floor:{id}"));
        let floors: HashMap<String, u64> = read.query(&mut self.0).unwrap();
        let highest = |column: &str| {
            let values = floors.iter().filter(|(name, _)| name.starts_with(column));
            values.map(|(_, value)| *value).max().unwrap_or_default()
        };
        Row {
            version: highest("version "),
            stock: highest("stock "),
        }
    }
}
