//! Loading anew what is there: refresh, back off, expire.

use super::*;

fn a_refresh_gets_the_lease_and_the_record_stays(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = Token::random();
    assert_eq!(spot.refresh(token, LONG), Refresh::Acquired);
    assert_eq!(spot.read(), Entry::Record(record("first")));
    assert!(spot.fill(token));
    assert_eq!(spot.read(), Entry::Record(record("filled")));
    assert!(spot.is_free());
}

/// Else each of those who saw the old one would load, one after the other.
fn who_comes_after_a_refresh_is_handed_its_record(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    spot.put(&record("old"), LONG / 2);
    let (_, seen) = spot.store.read_with_ttl(&spot.keys.data).unwrap();
    spot.put(&record("new"), LONG);
    let answer = spot.refresh(Token::random(), seen.left().unwrap());
    assert_eq!(answer, Refresh::Record(record("new")));
    assert!(spot.is_free());
}

fn whoever_has_the_lease_is_in_the_way_of_a_refresh(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let one = spot.leased();
    assert_eq!(spot.refresh(Token::random(), LONG), Refresh::Taken);
    assert!(spot.release(one));
    let writer = Token::random();
    spot.guard(writer, LONG);
    assert_eq!(spot.refresh(Token::random(), LONG), Refresh::Taken);
    spot.unguard(writer);
    assert_eq!(spot.refresh(Token::random(), LONG), Refresh::Acquired);
}

fn a_refresh_of_what_has_gone_gets_the_lease(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let token = Token::random();
    assert_eq!(spot.refresh(token, LONG), Refresh::Acquired);
    assert!(spot.fill(token));
}

fn after_a_back_off_nobody_refreshes_for_so_long(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let tries = || spot.refresh(Token::random(), LONG) == Refresh::Taken;
    let token = spot.leased();
    lasts(BRIEF, || assert!(spot.back_off(token, BRIEF)), tries);
}

fn who_has_no_record_takes_no_notice_of_a_back_off(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let token = spot.leased();
    assert!(spot.back_off(token, LONG));
    assert!(!spot.fill(token) && !spot.release(token) && !spot.renew(token, LONG));
    let next = Token::random();
    assert_eq!(spot.acquire(next), Acquire::Acquired);
    assert!(spot.fill(next));
}

fn only_the_holder_of_a_lease_backs_off(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    assert!(!spot.back_off(Token::random(), LONG));
    assert!(spot.fill(token));
    assert!(!spot.back_off(token, LONG));
    let writer = Token::random();
    spot.guard(writer, LONG);
    assert!(!spot.back_off(writer, LONG));
}

fn whatever_ends_a_lease_ends_a_back_off(ground: &Ground) {
    let endings: [Deed; 5] = [
        ("invalidate", |spot, _| assert!(spot.invalidate())),
        ("expire", |spot, _| assert!(spot.expire(LONG))),
        ("update_field", |spot, _| {
            assert_eq!(spot.update_field("version", "2"), Update::Changed);
        }),
        ("update", |spot, _| {
            assert_eq!(spot.update(|_| None), Update::Unchanged);
        }),
        ("a write", |spot, writer| {
            spot.guard(writer, LONG);
            spot.unguard(writer);
        }),
    ];
    for (name, end) in &endings {
        let spot = Spot::filled(ground, name);
        let token = spot.leased();
        assert!(spot.back_off(token, LONG));
        end(&spot, Token::random());
        let next = spot.refresh(Token::random(), LONG);
        assert_eq!(next, Refresh::Acquired, "{name}");
    }
}

fn an_expired_record_stays_for_so_long_and_not_longer(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    lasts(BRIEF, || assert!(spot.expire(BRIEF)), || spot.is_there());
    assert!(!spot.expire(BRIEF));
    // It prolongs nothing.
    spot.put(&record("brief"), LONG);
    assert!(spot.expire(3 * LONG));
    assert!(spot.left() <= LONG);
}

fn what_says_that_there_is_no_record_does_not_survive_expire(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    spot.put(&fields(&[("__cache_aside_not_found", "1")]), LONG);
    assert!(spot.expire(LONG));
    assert!(!spot.is_there());
}

fn an_update_prolongs_only_what_has_more_left_than_was_said(ground: &Ground) {
    let new = |if_over| NewTtl {
        ttl: 3 * LONG,
        if_over,
    };
    let changes: [fn(&Spot, NewTtl) -> Update; 2] = [
        |spot, ttl| spot.update_field_for("version", "2", Some(ttl)),
        |spot, ttl| spot.update_for(Some(ttl), |_| Some(diff(&[("version", "3")], &[]))),
    ];
    for change in changes {
        let spot = Spot::filled(ground, "k");
        assert_eq!(change(&spot, new(LONG)), Update::Changed);
        assert!(spot.left() <= LONG);
        assert_eq!(change(&spot, new(LONG / 2)), Update::Changed);
        assert!(spot.left() > LONG);
    }
}

fn a_fill_of_nothing_ends_what_is_there(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = Token::random();
    assert_eq!(spot.refresh(token, LONG), Refresh::Acquired);
    assert!(spot.fill_for(token, &Fields::new(), LONG));
    assert!(!spot.is_there() && spot.is_free());
}

on_both_stores! {
    a_refresh_gets_the_lease_and_the_record_stays,
    who_comes_after_a_refresh_is_handed_its_record,
    whoever_has_the_lease_is_in_the_way_of_a_refresh,
    a_refresh_of_what_has_gone_gets_the_lease,
    after_a_back_off_nobody_refreshes_for_so_long,
    who_has_no_record_takes_no_notice_of_a_back_off,
    only_the_holder_of_a_lease_backs_off,
    whatever_ends_a_lease_ends_a_back_off,
    an_expired_record_stays_for_so_long_and_not_longer,
    what_says_that_there_is_no_record_does_not_survive_expire,
    an_update_prolongs_only_what_has_more_left_than_was_said,
    a_fill_of_nothing_ends_what_is_there,
}
