//! Scans the keys of a Redis server.
//!
//! Called for `clear`. Knows only the form of the keys of records and leases.

use redis::{Value, cmd};

use super::store::RedisStore;
use crate::{
    redis::{connection::Connection, invalid_reply::invalid_reply, pool::run_request::RetryPolicy},
    store::{
        Cursor, Failure, FailureKind, KeyKind, ScanPage,
        keys::{Keys, LEASE_PREFIX},
    },
};

/// How many positions of its hash table the server reads in one step. This takes it well under a
/// millisecond.
const PLACES: u32 = 1_000;

impl RedisStore {
    /// Does one step of a scan, from the cursor on. Fails if another server has taken over, because
    /// the positions have no meaning there.
    pub(super) fn scan_step(
        &self,
        prefix: &str,
        kind: KeyKind,
        cursor: Cursor,
    ) -> Result<ScanPage, Failure> {
        let (epoch, step) = self.scan_at(prefix, kind, cursor.position)?;
        // 0 means that the scan begins now, on whatever server this is.
        if ![0, epoch].contains(&cursor.epoch) {
            let other = "another server took over during the scan; try again";
            let failure = Failure::new(FailureKind::Rejected, other);
            return Err(self.connections.at_server(failure));
        }
        let next = step.next.map(|next| Cursor { epoch, ..next });
        Ok(ScanPage {
            epoch,
            next,
            ..step
        })
    }

    /// Returns the keys from this position on, and the epoch in which the server returned them.
    pub(crate) fn scan_at(
        &self,
        prefix: &str,
        kind: KeyKind,
        place: u64,
    ) -> Result<(u64, ScanPage), Failure> {
        let literal = escaped(prefix);
        let pattern = match kind {
            // Matches `lock:{prefix...}` and `lock:prefix...{tag}...` in one scan. Other matches
            // are removed below.
            KeyKind::Leases => format!("{LEASE_PREFIX}*{literal}*"),
            KeyKind::Records => format!("{literal}*"),
        };
        let guard = self
            .connections
            .checkout(self.connections.timeouts().checkout)?;
        let scan = |connection: &mut Connection, epoch| {
            let mut scan = cmd("SCAN");
            scan.arg(place).arg("MATCH").arg(&pattern);
            let reply: Value = scan.arg("COUNT").arg(PLACES).query(connection)?;
            let page = scanned(reply).filter(|(next, _)| *next != place || place == 0);
            let page = page.ok_or_else(|| invalid_reply("SCAN answers with a cursor and keys"))?;
            Ok((epoch, page))
        };
        let (epoch, (next, names)) =
            self.connections
                .run_in_epoch(guard, RetryPolicy::Idempotent, scan)?;
        // An id is text, so a key that is not text does not belong to a cache.
        let names = names
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok());
        let keys = names.filter_map(|name| match kind {
            KeyKind::Leases => Keys::of_lease(&name, prefix),
            KeyKind::Records => Some(Keys::of(name)),
        });
        let step = ScanPage {
            keys: keys.collect(),
            epoch: 0,
            next: (next != 0).then_some(Cursor {
                position: next,
                ..Cursor::default()
            }),
            fraction: fraction(next),
        };
        Ok((epoch, step))
    }
}

/// The next cursor and the keys. `None`: the reply has another form. (redis-rs takes nil for a list
/// without keys.)
fn scanned(reply: Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let [Value::BulkString(cursor), Value::Array(keys)] = <[Value; 2]>::try_from(parts).ok()?
    else {
        return None;
    };
    let cursor = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    let key = |key| match key {
        Value::BulkString(key) => Some(key),
        _ => None,
    };
    Some((cursor, keys.into_iter().map(key).collect::<Option<_>>()?))
}

/// Escapes a text for a Redis pattern, which then matches only this text.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The fraction of the table that has been scanned. Redis increments the bits of the cursor in
/// reverse, from the highest bit of the table's size, so that the table can grow or shrink
/// meanwhile. The reversed cursor is the fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "a fraction for people needs no 53rd bit"
)]
fn fraction(cursor: u64) -> f64 {
    match cursor {
        0 => 1.0,
        cursor => cursor.reverse_bits() as f64 / u64::MAX as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_matched_as_it_is_written() {
        assert_eq!(escaped("cache:*?[a]\\^-ü:"), "cache:\\*\\?\\[a\\]\\\\^-ü:");
    }

    #[test]
    fn a_cursor_is_a_fraction() {
        // The cursors of a scan through a table of eight positions.
        let cursors = [4, 2, 6, 1, 5, 3, 7, 0];
        let shares = cursors.map(|cursor| fraction(cursor) * 8.0);
        for (at, fraction) in shares.into_iter().enumerate() {
            let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0][at];
            assert!((fraction - expected).abs() < 1e-9, "{fraction}");
        }
    }
}
