//! Each step of the protocol by itself, as [`Store`] promises it.

mod floors;
mod guards;
mod leases;
mod many;
mod records;
mod refreshes;
mod tags;
mod updates;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    TtlRemaining,
    store::{
        Acquire, Diff, Entry, Fields, Floor, Keys, NewTtl, Recheck, Refresh, Store, Token, Update,
    },
};

use crate::environment::{Environment, keys, set};

/// Nothing lapses by itself while a test runs.
const LONG: Duration = Duration::from_secs(600);

/// So short that a test may wait for it.
const BRIEF: Duration = Duration::from_millis(50);

/// A step of another caller, and its name.
type Operation = (&'static str, fn(&Position, Token));

/// One record, and the steps that are about it.
#[derive(Clone)]
struct Position {
    store: Arc<dyn Store>,
    keys: Keys,
}

impl Position {
    fn on(environment: &Environment, id: &str) -> Position {
        Position {
            store: Arc::clone(environment.store()),
            keys: keys(id),
        }
    }

    /// One with a record.
    fn filled(environment: &Environment, id: &str) -> Position {
        let position = Position::on(environment, id);
        position.put(&record("first"), LONG);
        position
    }

    /// Loads a record.
    fn put(&self, record: &Fields, ttl: Duration) {
        let token = self.leased();
        assert!(self.fill_for(token, record, ttl));
    }

    /// Takes the lease, whether there is a record or not.
    fn leased(&self) -> Token {
        self.leased_for(LONG)
    }

    fn leased_for(&self, ttl: Duration) -> Token {
        let token = Token::random();
        let answer = self.acquire_for(token, ttl, Recheck::Never);
        assert!(matches!(answer, Acquire::Acquired(_)), "{answer:?}");
        token
    }

    fn acquire_for(&self, token: Token, ttl: Duration, recheck: Recheck) -> Acquire {
        self.store.acquire(&self.keys, token, ttl, recheck).unwrap()
    }

    /// Asks for the lease, unless there is a record.
    fn acquire(&self, token: Token) -> Acquire {
        self.acquire_for(token, LONG, Recheck::Always)
    }

    /// The answer to a request with a new token.
    fn ask(&self) -> Acquire {
        let token = Token::random();
        let answer = self.acquire_for(token, LONG, Recheck::Never);
        if matches!(answer, Acquire::Acquired(_)) {
            assert!(self.release(token));
        }
        answer
    }

    fn nonce(&self) -> Token {
        match self.ask() {
            Acquire::Guarded { nonce, .. } => nonce,
            other => panic!("no guard: {other:?}"),
        }
    }

    fn is_free(&self) -> bool {
        matches!(self.ask(), Acquire::Acquired(_))
    }

    fn fill_for(&self, token: Token, record: &Fields, ttl: Duration) -> bool {
        self.store.fill(&self.keys, token, ttl, record).unwrap()
    }

    fn fill(&self, token: Token) -> bool {
        self.fill_for(token, &record("filled"), LONG)
    }

    /// Asks for the lease of a record that had `left` to live when it was read.
    fn refresh(&self, token: Token, left: Duration) -> Refresh {
        let store = &self.store;
        store.refresh(&self.keys, token, LONG, left).unwrap()
    }

    fn keep(&self, token: Token, ttl: Duration) -> bool {
        self.store.keep(&self.keys, token, ttl).unwrap()
    }

    fn back_off(&self, token: Token, pause: Duration) -> bool {
        self.store.back_off(&self.keys, token, pause).unwrap()
    }

    fn expire(&self, stay: Duration) -> bool {
        self.store.expire(&self.keys, stay).unwrap()
    }

    fn release(&self, token: Token) -> bool {
        self.store.release(&self.keys, token).unwrap()
    }

    fn renew(&self, token: Token, ttl: Duration) -> bool {
        self.store.renew(&self.keys, token, ttl).unwrap()
    }

    fn invalidate(&self) -> bool {
        self.store.invalidate(&self.keys).unwrap()
    }

    fn guard(&self, writer: Token, ttl: Duration) -> bool {
        self.store.guard(&self.keys, writer, ttl).unwrap()
    }

    fn unguard(&self, writer: Token) -> bool {
        self.store.unguard(&self.keys, writer).unwrap()
    }

    fn update_field(&self, field: &str, value: &str) -> Update {
        self.update_field_for(field, value, None)
    }

    fn update_field_for(&self, field: &str, value: &str, ttl: Option<NewTtl>) -> Update {
        self.update_for(ttl, |_| Some(set(field, value.as_bytes())))
    }

    fn update(&self, change: impl FnMut(Fields) -> Option<Diff>) -> Update {
        self.update_for(None, change)
    }

    fn update_for(
        &self,
        ttl: Option<NewTtl>,
        mut change: impl FnMut(Fields) -> Option<Diff>,
    ) -> Update {
        self.store.update(&self.keys, ttl, &mut change).unwrap()
    }

    fn read(&self) -> Entry {
        self.store.read(&self.keys.data).unwrap()
    }

    fn is_there(&self) -> bool {
        self.read() != Entry::Absent
    }

    fn ttl(&self) -> TtlRemaining {
        self.store.ttl(&self.keys.data).unwrap()
    }

    fn left(&self) -> Duration {
        self.ttl().left().expect("a record that expires is there")
    }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let field = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
    pairs.iter().map(field).collect()
}

fn record(version: &str) -> Fields {
    fields(&[("name", "Rye"), ("version", version)])
}

fn entry(pairs: &[(&str, &str)]) -> Entry {
    Entry::Record(fields(pairs))
}

/// Sets some fields and removes others.
fn diff(set: &[(&str, &str)], removed: &[&str]) -> Diff {
    let set = fields(set);
    let removed = removed.iter().map(|&name| name.into()).collect();
    Diff { set, removed }
}

/// Checks that the thing that `start` sets exists for `ttl` and no longer. It is exact to the
/// millisecond, as far as a client can tell, so no machine is too slow for it.
fn lasts(ttl: Duration, start: impl FnOnce(), mut is_there: impl FnMut() -> bool) {
    // The store's rounding at both ends, and the difference between its clock and ours.
    const SLACK: Duration = Duration::from_millis(3);
    let before = Instant::now();
    start();
    let after = Instant::now();
    loop {
        let asked = after.elapsed();
        if !is_there() {
            let answered = before.elapsed();
            assert!(
                answered + SLACK >= ttl,
                "removed after {answered:?} at most"
            );
            return;
        }
        assert!(asked <= ttl + SLACK, "there after {asked:?} at least");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a time of `ttl` has lapsed.
fn wait_out(ttl: Duration) {
    thread::sleep(ttl + Duration::from_millis(5));
}
