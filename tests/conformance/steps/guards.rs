//! The guard of a write: guard, unguard, and the effect of other steps on it.

use super::*;

fn a_guard_ends_the_record_and_the_lease_and_nobody_fills_under_it(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let (old, writer, asker) = (position.leased(), Token::random(), Token::random());
    assert!(position.guard(writer, LONG), "there was a record");
    assert!(!position.is_there());
    assert!(!position.guard(writer, LONG), "there was none any more");

    let nonce = position.nonce();
    assert_eq!(
        position.acquire(asker),
        Acquire::Guarded {
            nonce,
            floor: Floor::None,
        }
    );
    for token in [old, writer, asker, nonce] {
        assert!(!position.fill(token));
        assert!(!position.release(token));
    }
    assert!(!position.is_there());
    assert_eq!(position.nonce(), nonce, "all are told the same");
    assert!(![old, writer, asker].contains(&nonce));
}

fn a_guard_ends_with_its_last_writer(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (one, two) = (Token::random(), Token::random());
    position.guard(one, LONG);
    position.guard(two, LONG);
    assert!(!position.unguard(one));
    assert!(!position.is_free());
    assert!(!position.unguard(one));
    assert!(!position.is_free());
    assert!(!position.unguard(two));
    assert!(position.is_free());
}

fn a_writer_has_one_place_however_often_it_asks(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    position.guard(writer, LONG);
    position.guard(writer, LONG);
    position.unguard(writer);
    assert!(position.is_free());
}

/// The third rule: a reader that starts after such a step shares no older load.
fn whatever_ends_under_a_guard_gives_it_a_new_nonce(environment: &Environment) {
    let endings: [Operation; 8] = [
        ("invalidate", |position, _| assert!(!position.invalidate())),
        ("invalidate_all", |position, _| {
            position.store.invalidate_all(&[&position.keys]).unwrap();
        }),
        ("update_field", |position, _| {
            assert_eq!(position.update_field("version", "2"), Update::Unchanged);
        }),
        ("update", |position, _| {
            let change = |_| panic!("nothing is cached");
            assert_eq!(position.update(change), Update::Unchanged);
        }),
        ("another writer begins", |position, _| {
            position.guard(Token::random(), LONG);
        }),
        ("the same one begins again", |position, writer| {
            position.guard(writer, LONG);
        }),
        ("another writer ends", |position, _| {
            let other = Token::random();
            position.guard(other, LONG);
            let before = position.nonce();
            position.unguard(other);
            assert_ne!(position.nonce(), before);
        }),
        ("one ends that had no place", |position, _| {
            position.unguard(Token::random());
        }),
    ];
    for (name, end) in endings {
        let position = Position::on(environment, name);
        let writer = Token::random();
        position.guard(writer, LONG);
        let before = position.nonce();
        end(&position, writer);
        assert_ne!(position.nonce(), before, "{name}");
        assert!(
            position.renew(writer, LONG),
            "{name}: the writer has its place"
        );
    }
}

fn what_ends_nothing_leaves_the_nonce(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    position.guard(writer, LONG);
    let nonce = position.nonce();
    assert!(!position.fill(Token::random()));
    assert!(!position.release(writer));
    assert!(position.renew(writer, LONG));
    assert!(!position.renew(Token::random(), LONG));
    assert!(!position.is_there());
    assert_eq!(position.nonce(), nonce);
}

fn a_guard_lasts_as_long_as_its_writers_place_to_the_millisecond(environment: &Environment) {
    let position = Position::on(environment, "k");
    let guard = || {
        position.guard(Token::random(), BRIEF);
    };
    lasts(BRIEF, guard, || !position.is_free());
}

fn a_writers_place_is_renewed_from_then_on(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    position.guard(writer, LONG);
    let renew = || assert!(position.renew(writer, BRIEF));
    lasts(BRIEF, renew, || !position.is_free());
    assert!(!position.renew(writer, LONG), "it has lapsed");

    // Repeated where a slow machine let the place lapse.
    loop {
        position.guard(writer, BRIEF);
        if position.renew(writer, LONG) {
            break;
        }
    }
    wait_out(BRIEF);
    assert!(!position.is_free());
}

fn a_guard_that_lapsed_is_not_renewed(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    position.guard(writer, BRIEF);
    wait_out(BRIEF);
    assert!(!position.renew(writer, LONG));
    let again = position
        .store
        .renew_all(&[(position.keys.clone(), writer)], LONG);
    assert_eq!(again.unwrap(), [false]);
    assert!(position.is_free());
}

/// A slow writer protects its write again, if another writer has kept the guard alive and no reader
/// has yet been told that the first one is gone.
fn a_place_that_lapsed_is_lost_to_the_first_who_asks(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (slow, other) = (Token::random(), Token::random());
    position.guard(other, LONG);
    let before = position.nonce();
    position.guard(slow, BRIEF);
    wait_out(BRIEF);
    assert!(position.renew(slow, LONG));
    let nonce = position.nonce();
    assert_ne!(nonce, before);
    assert_eq!(position.nonce(), nonce, "nobody died");

    assert!(position.renew(slow, BRIEF));
    wait_out(BRIEF);
    position.ask();
    assert!(!position.renew(slow, LONG));
    assert!(position.renew(other, LONG));
}

/// The writer died, perhaps after its commit, which a load under the nonce may have missed.
fn a_writer_that_lapses_loses_its_place_and_the_nonce_becomes_the_askers_token(
    environment: &Environment,
) {
    let position = Position::on(environment, "k");
    let (dead, alive) = (Token::random(), Token::random());
    position.guard(alive, LONG);
    position.guard(dead, LONG);
    let before = position.nonce();
    assert!(position.renew(dead, BRIEF));
    wait_out(BRIEF);
    let (asker, next) = (Token::random(), Token::random());
    assert_eq!(
        position.acquire(asker),
        Acquire::Guarded {
            nonce: asker,
            floor: Floor::None,
        }
    );
    assert_eq!(
        position.acquire(next),
        Acquire::Guarded {
            nonce: asker,
            floor: Floor::None,
        }
    );
    assert_ne!(before, asker);
    assert!(!position.fill(asker), "it is no lease");
    assert!(!position.renew(dead, LONG));
    assert!(position.renew(alive, LONG));
    position.unguard(alive);
    assert!(position.is_free());
}

fn a_guard_lasts_no_longer_than_the_place_of_the_writer_that_is_left(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (brief, long) = (Token::random(), Token::random());
    let guard = || {
        position.guard(brief, BRIEF);
        position.guard(long, LONG);
        position.unguard(long);
    };
    lasts(BRIEF, guard, || !position.is_free());
}

fn a_brief_place_does_not_cut_a_long_one_short(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.guard(Token::random(), LONG);
    position.guard(Token::random(), BRIEF);
    wait_out(BRIEF);
    assert!(!position.is_free());
}

fn the_end_of_a_write_ends_what_took_the_place_of_its_guard(environment: &Environment) {
    let position = Position::on(environment, "k");
    let writer = Token::random();
    // Its guard lapsed. Another caller loads the record from before the commit, or has done so.
    position.guard(writer, LONG);
    assert!(position.renew(writer, BRIEF));
    wait_out(BRIEF);
    let token = position.leased();
    assert!(!position.unguard(writer));
    assert!(!position.fill(token));

    position.put(&record("old"), LONG);
    assert!(position.unguard(writer), "there was a record");
    assert!(!position.is_there());
    assert!(position.is_free());
}

on_both_stores! {
    a_guard_ends_the_record_and_the_lease_and_nobody_fills_under_it,
    a_guard_ends_with_its_last_writer,
    a_writer_has_one_place_however_often_it_asks,
    whatever_ends_under_a_guard_gives_it_a_new_nonce,
    what_ends_nothing_leaves_the_nonce,
    a_guard_lasts_as_long_as_its_writers_place_to_the_millisecond,
    a_writers_place_is_renewed_from_then_on,
    a_guard_that_lapsed_is_not_renewed,
    a_place_that_lapsed_is_lost_to_the_first_who_asks,
    a_writer_that_lapses_loses_its_place_and_the_nonce_becomes_the_askers_token,
    a_guard_lasts_no_longer_than_the_place_of_the_writer_that_is_left,
    a_brief_place_does_not_cut_a_long_one_short,
    the_end_of_a_write_ends_what_took_the_place_of_its_guard,
}
