//! Reloading a cached record: refresh, back off, expire.

use super::*;

fn a_refresh_gets_the_lease_and_the_record_stays(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = Token::random();
    assert_eq!(
        position.refresh(token, LONG),
        Refresh::Acquired(Floor::None)
    );
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.fill(token));
    assert_eq!(position.read(), Entry::Record(record("filled")));
    assert!(position.is_free());
}

/// Otherwise each reader of the old record would load, one after another.
fn who_comes_after_a_refresh_is_handed_its_record(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&record("old"), LONG / 2);
    let (_, seen) = position.store.read_with_ttl(&position.keys.data).unwrap();
    position.put(&record("new"), LONG);
    let answer = position.refresh(Token::random(), seen.left().unwrap());
    assert_eq!(answer, Refresh::Record(record("new")));
    assert!(position.is_free());
}

fn whoever_has_the_lease_is_in_the_way_of_a_refresh(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let one = position.leased();
    assert_eq!(position.refresh(Token::random(), LONG), Refresh::Taken);
    assert!(position.release(one));
    let writer = Token::random();
    position.guard(writer, LONG);
    assert_eq!(position.refresh(Token::random(), LONG), Refresh::Taken);
    position.unguard(writer);
    assert_eq!(
        position.refresh(Token::random(), LONG),
        Refresh::Acquired(Floor::None)
    );
}

fn a_refresh_of_what_has_gone_gets_the_lease(environment: &Environment) {
    let position = Position::on(environment, "k");
    let token = Token::random();
    assert_eq!(
        position.refresh(token, LONG),
        Refresh::Acquired(Floor::None)
    );
    assert!(position.fill(token));
}

fn after_a_back_off_nobody_refreshes_for_so_long(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let tries = || position.refresh(Token::random(), LONG) == Refresh::Taken;
    let token = position.leased();
    lasts(BRIEF, || assert!(position.back_off(token, BRIEF)), tries);
}

fn who_has_no_record_takes_no_notice_of_a_back_off(environment: &Environment) {
    let position = Position::on(environment, "k");
    let token = position.leased();
    assert!(position.back_off(token, LONG));
    assert!(!position.fill(token) && !position.release(token) && !position.renew(token, LONG));
    let next = Token::random();
    assert_eq!(position.acquire(next), Acquire::Acquired(Floor::None));
    assert!(position.fill(next));
}

fn only_the_holder_of_a_lease_backs_off(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    assert!(!position.back_off(Token::random(), LONG));
    assert!(position.fill(token));
    assert!(!position.back_off(token, LONG));
    let writer = Token::random();
    position.guard(writer, LONG);
    assert!(!position.back_off(writer, LONG));
}

fn whatever_ends_a_lease_ends_a_back_off(environment: &Environment) {
    let endings: [Operation; 5] = [
        ("invalidate", |position, _| assert!(position.invalidate())),
        ("expire", |position, _| assert!(position.expire(LONG))),
        ("update_field", |position, _| {
            assert_eq!(position.update_field("version", "2"), Update::Changed);
        }),
        ("update", |position, _| {
            assert_eq!(position.update(|_| None), Update::Unchanged);
        }),
        ("a write", |position, writer| {
            position.guard(writer, LONG);
            position.unguard(writer);
        }),
    ];
    for (name, end) in &endings {
        let position = Position::filled(environment, name);
        let token = position.leased();
        assert!(position.back_off(token, LONG));
        end(&position, Token::random());
        let next = position.refresh(Token::random(), LONG);
        assert_eq!(next, Refresh::Acquired(Floor::None), "{name}");
    }
}

fn a_record_that_is_kept_has_its_ttl_again_and_its_lease_ends(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&record("first"), LONG / 2);
    let token = position.leased();
    assert!(position.keep(token, LONG));
    assert!(position.left() > LONG / 2);
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.is_free());
    let token = position.leased();
    lasts(
        BRIEF,
        || assert!(position.keep(token, BRIEF)),
        || position.is_there(),
    );
}

fn only_the_holder_of_a_lease_keeps_the_record(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&record("first"), LONG / 2);
    assert!(!position.keep(Token::random(), LONG));
    let token = position.leased();
    assert!(!position.keep(Token::random(), LONG));
    assert!(!position.is_free(), "nobody else ends it");
    assert!(position.release(token) && !position.keep(token, LONG));
    assert!(position.left() <= LONG / 2);
    let writer = Token::random();
    position.guard(writer, LONG);
    assert!(!position.keep(writer, LONG) && !position.is_free());
}

fn nothing_is_kept_where_no_record_is_left(environment: &Environment) {
    let position = Position::on(environment, "k");
    let token = position.leased();
    assert!(!position.keep(token, LONG));
    assert!(!position.is_there() && position.is_free());
}

fn an_expired_record_stays_for_so_long_and_not_longer(environment: &Environment) {
    let position = Position::filled(environment, "k");
    lasts(
        BRIEF,
        || assert!(position.expire(BRIEF)),
        || position.is_there(),
    );
    assert!(!position.expire(BRIEF));
    // It does not extend the TTL.
    position.put(&record("brief"), LONG);
    assert!(position.expire(3 * LONG));
    assert!(position.left() <= LONG);
}

fn what_says_that_there_is_no_record_does_not_survive_expire(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&fields(&[("__cache_aside_not_found", "1")]), LONG);
    assert!(position.expire(LONG));
    assert!(!position.is_there());
}

fn an_update_prolongs_only_what_has_more_left_than_was_said(environment: &Environment) {
    let new = |if_over| NewTtl {
        ttl: 3 * LONG,
        if_over,
    };
    let changes: [fn(&Position, NewTtl) -> Update; 2] = [
        |position, ttl| position.update_field_for("version", "2", Some(ttl)),
        |position, ttl| position.update_for(Some(ttl), |_| Some(diff(&[("version", "3")], &[]))),
    ];
    for change in changes {
        let position = Position::filled(environment, "k");
        assert_eq!(change(&position, new(LONG)), Update::Changed);
        assert!(position.left() <= LONG);
        assert_eq!(change(&position, new(LONG / 2)), Update::Changed);
        assert!(position.left() > LONG);
    }
}

fn a_fill_of_nothing_ends_what_is_there(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = Token::random();
    assert_eq!(
        position.refresh(token, LONG),
        Refresh::Acquired(Floor::None)
    );
    assert!(position.fill_for(token, &Fields::new(), LONG));
    assert!(!position.is_there() && position.is_free());
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
    a_record_that_is_kept_has_its_ttl_again_and_its_lease_ends,
    only_the_holder_of_a_lease_keeps_the_record,
    nothing_is_kept_where_no_record_is_left,
    an_expired_record_stays_for_so_long_and_not_longer,
    what_says_that_there_is_no_record_does_not_survive_expire,
    an_update_prolongs_only_what_has_more_left_than_was_said,
    a_fill_of_nothing_ends_what_is_there,
}
