//! Floors: which steps set them, how they rise, and how long they last. And the steps that need
//! them.

use super::*;
use cache_aside::store::{GuardRequest, UnguardRequest, VersionedStore, WriteThrough};

/// One record with a floor.
fn floored(environment: &Environment, lag: Duration) -> Position {
    let keys = keys("k").with_floor(lag);
    Position {
        keys,
        ..Position::on(environment, "k")
    }
}

impl Position {
    fn versioned(&self) -> &dyn VersionedStore {
        self.store.versioned().expect("it keeps floors")
    }

    /// The floor that a caller gets which may load.
    fn floor(&self) -> Floor {
        match self.ask() {
            Acquire::Acquired(floor) | Acquire::Guarded { floor, .. } => floor,
            other => panic!("it may not load: {other:?}"),
        }
    }

    fn invalidate_at(&self, version: u64) -> bool {
        let versioned = self.versioned();
        versioned.invalidate_at(&self.keys, version).unwrap()
    }

    /// Sets the guard, and returns its nonce.
    fn guard_for_through(&self, writer: Token, ttl: Duration) -> Token {
        let versioned = self.versioned();
        versioned.guard_with_nonce(&self.keys, writer, ttl).unwrap()
    }

    /// Ends a write, and caches the record if the nonce still stands.
    fn through(&self, writer: Token, nonce: Token, version: Option<u64>) -> bool {
        let record = record("through");
        let through = WriteThrough {
            nonce,
            ttl: LONG,
            record: &record,
        };
        let versioned = self.versioned();
        let ended = versioned.write_through(&self.keys, writer, Some(through), version);
        ended.unwrap()
    }
}

fn an_invalidation_at_a_version_sets_a_floor_that_only_rises(environment: &Environment) {
    let position = floored(environment, LONG);
    position.put(&record("first"), LONG);
    assert_eq!(position.floor(), Floor::None);
    assert!(position.invalidate_at(7), "there was a record");
    assert!(!position.is_there());
    assert_eq!(position.floor(), Floor::At(7));
    assert!(!position.invalidate_at(6));
    assert_eq!(position.floor(), Floor::At(7));
    position.invalidate_at(8);
    assert_eq!(position.floor(), Floor::At(8));
}

/// Numbers of Lua are exact to 2⁵³ only.
fn versions_are_compared_exactly(environment: &Environment) {
    const EXACT: u64 = 1 << 53;
    let position = floored(environment, LONG);
    for version in [0, 9, 10, EXACT, EXACT + 1, u64::MAX - 1, u64::MAX] {
        position.invalidate_at(version);
        assert_eq!(position.floor(), Floor::At(version));
        if let Some(lower) = version.checked_sub(1) {
            position.invalidate_at(lower);
            assert_eq!(position.floor(), Floor::At(version));
        }
    }
}

fn a_step_that_raises_the_floor_ends_the_lease(environment: &Environment) {
    let position = floored(environment, LONG);
    let token = position.leased();
    position.invalidate_at(7);
    assert!(!position.fill(token));
}

fn without_a_floor_key_no_step_leaves_a_floor(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.invalidate_at(7);
    position.invalidate();
    assert_eq!(position.floor(), Floor::None);
    assert_eq!(floored(environment, LONG).floor(), Floor::None);
}

fn each_step_without_a_version_makes_the_floor_unknown(environment: &Environment) {
    const STEPS: [Operation; 8] = [
        ("invalidate", |at, _| {
            at.invalidate();
        }),
        ("invalidate_all", |at, _| {
            drop(at.store.invalidate_all(&[&at.keys]).unwrap());
        }),
        ("expire", |at, _| {
            at.expire(LONG);
        }),
        ("update", |at, _| {
            at.update_field("name", "Oat");
        }),
        ("update of nothing", |at, _| {
            at.invalidate_at(9);
            at.update_field("name", "Oat");
        }),
        ("guard", |at, writer| {
            at.guard(writer, LONG);
        }),
        ("guard_all and unguard_all", |at, writer| {
            let keys = &at.keys;
            let guard_ttl = LONG;
            let one = GuardRequest {
                keys,
                writer,
                guard_ttl,
            };
            assert_eq!(at.store.guard_all(&[one]).unwrap().len(), 1);
            assert_eq!(at.floor(), Floor::Unknown);
            let one = UnguardRequest { keys, writer };
            assert_eq!(at.store.unguard_all(&[one]).unwrap().len(), 1);
            assert!(at.is_free());
        }),
        ("unguard", |at, writer| {
            at.guard(writer, LONG);
            at.unguard(writer);
        }),
    ];
    for (name, step) in STEPS {
        for known in [false, true] {
            let keys = keys(&format!("{name} {known}")).with_floor(LONG);
            let position = Position {
                keys,
                ..Position::on(environment, "k")
            };
            if known {
                position.invalidate_at(7);
            }
            position.put(&record("first"), LONG);
            step(&position, Token::random());
            assert_eq!(position.floor(), Floor::Unknown, "{name}");
            position.invalidate_at(9);
            assert_eq!(position.floor(), Floor::Unknown, "{name}: it stays unknown");
        }
    }
}

fn a_floor_lasts_as_long_as_the_lag(environment: &Environment) {
    let position = floored(environment, BRIEF);
    for version in [Some(7), None] {
        let set = || match version {
            Some(version) => {
                position.invalidate_at(version);
            }
            None => {
                position.invalidate();
            }
        };
        lasts(BRIEF, set, || position.floor() != Floor::None);
    }
}

fn a_floor_that_is_set_again_does_not_end_sooner(environment: &Environment) {
    let position = floored(environment, LONG);
    position.invalidate_at(7);
    let shorter = floored(environment, BRIEF);
    shorter.invalidate_at(8);
    shorter.update_field("name", "Oat");
    wait_out(BRIEF);
    assert_eq!(position.floor(), Floor::Unknown);
}

/// Its writer may die after the commit. Then a replica may lack the commit when the guard lapses.
fn the_floor_of_a_guard_outlives_the_guard_by_the_lag(environment: &Environment) {
    let position = floored(environment, BRIEF);
    let place = 2 * BRIEF;
    let guard = || {
        position.guard(Token::random(), place);
    };
    lasts(place + BRIEF, guard, || position.floor() != Floor::None);
}

fn a_guard_that_is_renewed_keeps_its_floor(environment: &Environment) {
    let position = floored(environment, BRIEF);
    let writer = Token::random();
    position.guard(writer, BRIEF);
    let renew = || assert!(position.renew(writer, 2 * BRIEF));
    lasts(3 * BRIEF, renew, || position.floor() != Floor::None);
}

fn a_refresh_hands_over_the_floor(environment: &Environment) {
    let position = floored(environment, LONG);
    position.put(&record("first"), LONG);
    assert_eq!(
        position.refresh(Token::random(), LONG),
        Refresh::Acquired(Floor::None)
    );
    position.expire(LONG);
    assert_eq!(
        position.refresh(Token::random(), LONG),
        Refresh::Acquired(Floor::Unknown)
    );
}

fn a_record_is_written_through_if_nobody_else_wrote(environment: &Environment) {
    for position in [
        Position::on(environment, "plain"),
        floored(environment, LONG),
    ] {
        let writer = Token::random();
        let nonce = position.guard_for_through(writer, LONG);
        assert_eq!(position.nonce(), nonce);
        assert!(position.through(writer, nonce, Some(7)));
        assert_eq!(position.read(), Entry::Record(record("through")));
        assert!(position.left() > LONG / 2);
        assert!(position.is_free(), "the guard is gone");
    }
    assert_eq!(floored(environment, LONG).floor(), Floor::At(7));
}

/// What happens between the guard and the end of a write. It must not be written through then.
fn a_record_is_not_written_through_if_another_caller_wrote(environment: &Environment) {
    const BETWEEN: [Operation; 6] = [
        ("an invalidation", |at, _| {
            at.invalidate();
        }),
        ("one at a version", |at, _| {
            at.invalidate_at(9);
        }),
        ("an update", |at, _| {
            at.update_field("name", "Oat");
        }),
        ("an expiry", |at, _| {
            at.expire(LONG);
        }),
        ("a guard", |at, other| {
            at.guard(other, LONG);
        }),
        ("a whole write", |at, other| {
            at.guard(other, LONG);
            at.unguard(other);
        }),
    ];
    for (name, step) in BETWEEN {
        let keys = keys(name).with_floor(LONG);
        let position = Position {
            keys,
            ..Position::on(environment, "k")
        };
        let (writer, other) = (Token::random(), Token::random());
        let nonce = position.guard_for_through(writer, LONG);
        step(&position, other);
        assert!(!position.through(writer, nonce, Some(7)), "{name}");
        assert!(!position.is_there(), "{name}");
        assert_eq!(position.floor(), Floor::Unknown, "{name}");
    }
}

/// The nonce is unchanged. But the other writer may commit later, and die.
fn a_record_is_not_written_through_beside_an_earlier_writer(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (earlier, writer) = (Token::random(), Token::random());
    position.guard(earlier, LONG);
    let nonce = position.guard_for_through(writer, LONG);
    assert!(!position.through(writer, nonce, None));
    assert!(!position.is_there());
    assert!(!position.is_free(), "the earlier writer has its place");
}

/// It may have committed before its place lapsed.
fn a_record_is_not_written_through_beside_a_writer_that_died(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (dead, writer) = (Token::random(), Token::random());
    position.guard(dead, BRIEF);
    let nonce = position.guard_for_through(writer, LONG);
    wait_out(BRIEF);
    assert!(!position.through(writer, nonce, None));
    assert!(!position.is_there());
}

fn a_record_is_not_written_through_after_the_guard_has_lapsed(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    let nonce = position.guard_for_through(writer, BRIEF);
    wait_out(BRIEF);
    position.put(&record("another"), LONG);
    assert!(!position.through(writer, nonce, None));
    assert!(!position.is_there(), "what was filled meanwhile is gone");
}

fn a_write_through_that_is_sent_again_only_ends_the_record(environment: &Environment) {
    let position = floored(environment, LONG);
    let writer = Token::random();
    let nonce = position.guard_for_through(writer, LONG);
    assert!(position.through(writer, nonce, Some(7)));
    assert!(!position.through(writer, nonce, Some(7)));
    assert!(!position.is_there());
    assert_eq!(position.floor(), Floor::At(7));
}

fn a_guard_does_not_lose_a_floor_that_was_unknown_before(environment: &Environment) {
    let position = floored(environment, LONG);
    position.invalidate();
    let writer = Token::random();
    let nonce = position.guard_for_through(writer, LONG);
    assert!(position.through(writer, nonce, Some(7)));
    assert_eq!(position.floor(), Floor::Unknown);
}

on_both_stores! {
    an_invalidation_at_a_version_sets_a_floor_that_only_rises,
    versions_are_compared_exactly,
    a_step_that_raises_the_floor_ends_the_lease,
    without_a_floor_key_no_step_leaves_a_floor,
    each_step_without_a_version_makes_the_floor_unknown,
    a_floor_lasts_as_long_as_the_lag,
    a_floor_that_is_set_again_does_not_end_sooner,
    the_floor_of_a_guard_outlives_the_guard_by_the_lag,
    a_guard_that_is_renewed_keeps_its_floor,
    a_refresh_hands_over_the_floor,
    a_record_is_written_through_if_nobody_else_wrote,
    a_record_is_not_written_through_if_another_caller_wrote,
    a_record_is_not_written_through_beside_an_earlier_writer,
    a_record_is_not_written_through_beside_a_writer_that_died,
    a_record_is_not_written_through_after_the_guard_has_lapsed,
    a_write_through_that_is_sent_again_only_ends_the_record,
    a_guard_does_not_lose_a_floor_that_was_unknown_before,
}
