//! The mutated replies that are valid all the same: they explain wrong records.

use std::{collections::HashMap, time::Duration, time::Instant};

use parking_lot::Mutex;

use crate::{
    primary::{Verdict, record_in},
    proxy::Asked,
    scanner::{is_one_reply, texts},
};

/// How long a forged record may stay in the cache: an update may store it.
const FORGED: Duration = Duration::from_secs(6);

#[derive(Default)]
pub(crate) struct Forgeries {
    /// By the id that was asked for.
    by_id: Mutex<HashMap<String, Vec<Forgery>>>,
    /// By connection.
    bursts: Mutex<HashMap<u64, Burst>>,
}

struct Forgery {
    at: Instant,
    given: Given,
}

/// What a client can take from valid mutated replies.
#[derive(Clone)]
enum Given {
    /// The record of this id, in this version.
    Record(String, u64),
    /// No record. A reply to another request, such as that for a lease.
    Other,
    /// Any record: of two mutations in one pipeline, one may add a reply and one take it away.
    Any,
}

/// The replies on one connection since the client has last waited.
#[derive(Default)]
struct Burst {
    ids: Vec<String>,
    mutations: usize,
}

impl Forgeries {
    /// Whether a valid mutated reply to a request for this id explains the record that a lookup
    /// found, which began at this instant.
    pub(crate) fn explain(&self, id: &str, verdict: &Verdict, began: Instant) -> bool {
        let by_id = self.by_id.lock();
        let mut forgeries = by_id.get(id).into_iter().flatten();
        forgeries.any(|Forgery { at, given }| match (verdict, given) {
            (_, Given::Any) => *at + FORGED >= began,
            (Verdict::Foreign { id, version }, Given::Record(given, of)) => {
                *at + FORGED >= began && (id, version) == (given, of)
            }
            (Verdict::Stale { version, .. }, Given::Record(given, of)) => {
                *at + FORGED >= began && (id, version) == (given.as_str(), of)
            }
            (Verdict::Stale { .. }, Given::Other) => *at >= began,
            _ => false,
        })
    }

    /// Notes what a client gets instead of the right reply, if it is one valid reply.
    pub(crate) fn note_reply(&self, asked: &Asked<'_>, bytes: &[u8]) {
        if bytes == asked.right || !is_one_reply(bytes) {
            return;
        }
        let given = match record_in(&texts(bytes)) {
            Some((id, version)) => Given::Record(id, version),
            None => Given::Other,
        };
        self.add(&ids_in(asked), &given);
    }

    /// Notes that a reply was given, and whether it was the right one alone.
    pub(crate) fn note_in_burst(&self, asked: &Asked<'_>, is_right: bool) {
        let mut bursts = self.bursts.lock();
        let burst = bursts.entry(asked.connection).or_default();
        burst.ids.extend(ids_in(asked));
        burst.mutations += usize::from(!is_right);
        if burst.mutations > 1 {
            self.add(&burst.ids, &Given::Any);
        }
    }

    /// The client has waited for all replies on this connection, or closed it.
    pub(crate) fn end_burst(&self, connection: u64) {
        self.bursts.lock().remove(&connection);
    }

    fn add(&self, ids: &[String], given: &Given) {
        let mut by_id = self.by_id.lock();
        for id in ids {
            let (at, given) = (Instant::now(), given.clone());
            by_id
                .entry(id.clone())
                .or_default()
                .push(Forgery { at, given });
        }
    }
}

/// The ids in the keys of a command.
pub(crate) fn ids_in(asked: &Asked<'_>) -> Vec<String> {
    asked.words.iter().filter_map(|word| id_of(word)).collect()
}

/// The id in a key of a record.
fn id_of(word: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(word).ok()?;
    let mut ids = ["test:", "person:"]
        .iter()
        .filter_map(|prefix| word.strip_prefix(prefix));
    ids.next().filter(|id| !id.is_empty()).map(str::to_owned)
}
