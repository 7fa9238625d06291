//! The guard of a write: guard, unguard, and what others do to it.

use super::*;

fn a_guard_ends_the_record_and_the_lease_and_nobody_fills_under_it(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let (old, writer, asker) = (spot.leased(), Token::random(), Token::random());
    assert!(spot.guard(writer, LONG), "there was a record");
    assert!(!spot.is_there());
    assert!(!spot.guard(writer, LONG), "there was none any more");

    let nonce = spot.nonce();
    assert_eq!(spot.acquire(asker), Acquire::Guarded { nonce });
    for token in [old, writer, asker, nonce] {
        assert!(!spot.fill(token));
        assert!(!spot.release(token));
    }
    assert!(!spot.is_there());
    assert_eq!(spot.nonce(), nonce, "all are told the same");
    assert!(![old, writer, asker].contains(&nonce));
}

fn a_guard_ends_with_its_last_writer(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let (one, two) = (Token::random(), Token::random());
    spot.guard(one, LONG);
    spot.guard(two, LONG);
    assert!(!spot.unguard(one));
    assert!(!spot.is_free());
    assert!(!spot.unguard(one));
    assert!(!spot.is_free());
    assert!(!spot.unguard(two));
    assert!(spot.is_free());
}

fn a_writer_has_one_place_however_often_it_asks(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let writer = Token::random();
    spot.guard(writer, LONG);
    spot.guard(writer, LONG);
    spot.unguard(writer);
    assert!(spot.is_free());
}

/// The third rule: who comes after such a step shares no load from before it.
fn whatever_ends_under_a_guard_gives_it_a_new_nonce(ground: &Ground) {
    let endings: [Deed; 8] = [
        ("invalidate", |spot, _| assert!(!spot.invalidate())),
        ("invalidate_all", |spot, _| {
            spot.store.invalidate_all(&[&spot.keys]).unwrap();
        }),
        ("update_field", |spot, _| {
            assert_eq!(spot.update_field("version", "2"), Update::Unchanged);
        }),
        ("update", |spot, _| {
            let change = |_| panic!("nothing is cached");
            assert_eq!(spot.update(change), Update::Unchanged);
        }),
        ("another writer begins", |spot, _| {
            spot.guard(Token::random(), LONG);
        }),
        ("the same one begins again", |spot, writer| {
            spot.guard(writer, LONG);
        }),
        ("another writer ends", |spot, _| {
            let other = Token::random();
            spot.guard(other, LONG);
            let before = spot.nonce();
            spot.unguard(other);
            assert_ne!(spot.nonce(), before);
        }),
        ("one ends that had no place", |spot, _| {
            spot.unguard(Token::random());
        }),
    ];
    for (name, end) in endings {
        let spot = Spot::on(ground, name);
        let writer = Token::random();
        spot.guard(writer, LONG);
        let before = spot.nonce();
        end(&spot, writer);
        assert_ne!(spot.nonce(), before, "{name}");
        assert!(spot.renew(writer, LONG), "{name}: the writer has its place");
    }
}

fn what_ends_nothing_leaves_the_nonce(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let writer = Token::random();
    spot.guard(writer, LONG);
    let nonce = spot.nonce();
    assert!(!spot.fill(Token::random()));
    assert!(!spot.release(writer));
    assert!(spot.renew(writer, LONG));
    assert!(!spot.renew(Token::random(), LONG));
    assert!(!spot.is_there());
    assert_eq!(spot.nonce(), nonce);
}

fn a_guard_lasts_as_long_as_its_writers_place_to_the_millisecond(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let guard = || {
        spot.guard(Token::random(), BRIEF);
    };
    lasts(BRIEF, guard, || !spot.is_free());
}

fn a_writers_place_is_renewed_from_then_on(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let writer = Token::random();
    spot.guard(writer, LONG);
    let renew = || assert!(spot.renew(writer, BRIEF));
    lasts(BRIEF, renew, || !spot.is_free());
    assert!(!spot.renew(writer, LONG), "it has lapsed");

    // Again, where the machine was so slow that the place had lapsed.
    loop {
        spot.guard(writer, BRIEF);
        if spot.renew(writer, LONG) {
            break;
        }
    }
    wait_out(BRIEF);
    assert!(!spot.is_free());
}

fn a_guard_that_lapsed_is_not_renewed(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let writer = Token::random();
    spot.guard(writer, BRIEF);
    wait_out(BRIEF);
    assert!(!spot.renew(writer, LONG));
    let again = spot.store.renew_all(&[(spot.keys.clone(), writer)], LONG);
    assert_eq!(again.unwrap(), [false]);
    assert!(spot.is_free());
}

/// A writer that was only slow protects its write again, where another one has kept the guard up, and nobody has
/// been told yet that this one is gone.
fn a_place_that_lapsed_is_lost_to_the_first_who_asks(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let (slow, other) = (Token::random(), Token::random());
    spot.guard(other, LONG);
    let before = spot.nonce();
    spot.guard(slow, BRIEF);
    wait_out(BRIEF);
    assert!(spot.renew(slow, LONG));
    let nonce = spot.nonce();
    assert_ne!(nonce, before);
    assert_eq!(spot.nonce(), nonce, "nobody died");

    assert!(spot.renew(slow, BRIEF));
    wait_out(BRIEF);
    spot.ask();
    assert!(!spot.renew(slow, LONG));
    assert!(spot.renew(other, LONG));
}

/// It died, perhaps after its commit, which a load under the nonce may have missed.
fn a_writer_that_lapses_loses_its_place_and_the_nonce_becomes_the_askers_token(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let (dead, alive) = (Token::random(), Token::random());
    spot.guard(alive, LONG);
    spot.guard(dead, LONG);
    let before = spot.nonce();
    assert!(spot.renew(dead, BRIEF));
    wait_out(BRIEF);
    let (asker, next) = (Token::random(), Token::random());
    assert_eq!(spot.acquire(asker), Acquire::Guarded { nonce: asker });
    assert_eq!(spot.acquire(next), Acquire::Guarded { nonce: asker });
    assert_ne!(before, asker);
    assert!(!spot.fill(asker), "it is no lease");
    assert!(!spot.renew(dead, LONG));
    assert!(spot.renew(alive, LONG));
    spot.unguard(alive);
    assert!(spot.is_free());
}

fn a_guard_lasts_no_longer_than_the_place_of_the_writer_that_is_left(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let (brief, long) = (Token::random(), Token::random());
    let guard = || {
        spot.guard(brief, BRIEF);
        spot.guard(long, LONG);
        spot.unguard(long);
    };
    lasts(BRIEF, guard, || !spot.is_free());
}

fn a_brief_place_does_not_cut_a_long_one_short(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    spot.guard(Token::random(), LONG);
    spot.guard(Token::random(), BRIEF);
    wait_out(BRIEF);
    assert!(!spot.is_free());
}

fn the_end_of_a_write_ends_what_took_the_place_of_its_guard(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let writer = Token::random();
    // Its guard lapsed, and somebody loads what was there before the commit, or has done so.
    spot.guard(writer, LONG);
    assert!(spot.renew(writer, BRIEF));
    wait_out(BRIEF);
    let token = spot.leased();
    assert!(!spot.unguard(writer));
    assert!(!spot.fill(token));

    spot.put(&record("old"), LONG);
    assert!(spot.unguard(writer), "there was a record");
    assert!(!spot.is_there());
    assert!(spot.is_free());
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
