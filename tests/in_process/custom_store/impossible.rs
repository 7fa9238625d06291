//! A store whose answers no correct store gives: each lookup is answered by the loader, in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Memory, Source,
    store::{Acquire, Failure, Fields, Floor, Keys, Recheck, Store, Token},
};
use serde::{Deserialize, Serialize};

use crate::{delegate::delegate, support::chain};

/// Always gives this answer to a request for a lease.
struct Answers {
    within: Arc<dyn Store>,
    answer: fn(Token) -> Acquire,
    asked: AtomicU32,
}

impl Store for Answers {
    fn acquire(&self, _: &Keys, token: Token, _: Duration, _: Recheck) -> Result<Acquire, Failure> {
        self.asked.fetch_add(1, SeqCst);
        Ok((self.answer)(token))
    }

    delegate!(within: read refresh fill release back_off renew invalidate expire guard unguard update ttl ping);
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Loaf {
    stock: u32,
}

/// A cache on a store with this answer.
fn answers(answer: fn(Token) -> Acquire) -> (Arc<Answers>, Cache<Loaf>) {
    let store = Arc::new(Answers {
        within: Memory::new(100).store(),
        answer,
        asked: AtomicU32::new(0),
    });
    let backend = Backend::new(Arc::clone(&store) as Arc<dyn Store>);
    let builder = Cache::builder(backend).prefix("test:");
    (store, builder.build().unwrap())
}

#[allow(clippy::unnecessary_wraps, reason = "it is a loader")]
fn load_many(ids: &[&str]) -> Result<Vec<(String, Loaf)>, &'static str> {
    let row = |id: &&str| ((*id).to_owned(), Loaf { stock: 1 });
    Ok(ids.iter().map(row).collect())
}

fn assert_is_answered(answer: fn(Token) -> Acquire, most: u32) {
    let (store, cache) = answers(answer);
    let load = |_: &str| Ok::<_, &str>(Some(Loaf { stock: 1 }));
    let found = cache.get("p-001", load).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains("an impossible answer"), "{why}");
    let found = cache.get_many(["p-001", "p-002"], load_many).unwrap();
    assert!(found.iter().all(|found| found.source() == Source::Degraded));
    let asked = store.asked.load(SeqCst);
    assert!(asked <= most, "asked {asked} times");
}

/// Else it would be taken for the lookup of a loader that calls `get` for its own record.
#[test]
fn a_lease_that_is_held_by_the_token_that_asks_for_it_is_no_answer() {
    let held = |token| Acquire::Held {
        by: Some(token),
        left: Duration::from_secs(60),
    };
    assert_is_answered(held, 3);
}

/// A token names one fill, and the nonce of a guard one record.
fn one_token() -> Token {
    Token::try_from("0123456789abcdef0123456789abcdef").unwrap()
}

const HELD: fn(Token) -> Acquire = |_| Acquire::Held {
    by: Some(one_token()),
    left: Duration::from_secs(60),
};

const GUARDED: fn(Token) -> Acquire = |_| Acquire::Guarded {
    nonce: one_token(),
    floor: Floor::None,
};

/// Else one lookup would wait for the other on the same thread, which fails as a loader that calls
/// `get` for its own record.
#[test]
fn one_token_for_two_ids_of_a_batch_is_no_answer() {
    for answer in [HELD, GUARDED] {
        let (store, cache) = answers(answer);
        let found = cache.get_many(["p-001", "p-002"], load_many).unwrap();
        for found in found {
            assert_eq!(found.source(), Source::Degraded);
            let why = chain(found.degraded_cause().unwrap());
            assert!(why.contains("an impossible answer"), "{why}");
        }
        assert_eq!(store.asked.load(SeqCst), 2);
    }
}

/// Else it would get the record of the other id.
#[test]
fn the_token_of_a_load_of_another_id_is_no_answer() {
    let (_, cache) = answers(GUARDED);
    let load = |id: &str| {
        if id == "p-001" {
            let other = cache.get("p-002", |_: &str| Ok::<_, &str>(Some(Loaf { stock: 2 })));
            let other = other.unwrap();
            assert_eq!(other.source(), Source::Degraded);
            assert_eq!(other.record().unwrap().stock, 2);
        }
        Ok::<_, &str>(Some(Loaf { stock: 1 }))
    };
    assert_eq!(cache.get("p-001", load).unwrap().source(), Source::Loaded);
}

/// Else the lookup would ask again without end.
#[test]
fn a_record_that_does_not_decode_though_it_was_not_to_be_looked_at_is_no_answer() {
    let record = |_| Acquire::Record(Fields::from([(b"stock".to_vec(), b"many".to_vec())]));
    assert_is_answered(record, 6);
}
