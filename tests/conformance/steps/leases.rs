//! The lease: acquire, fill, release, renew.

use super::*;

fn a_lease_is_one_callers_until_it_ends(environment: &Environment) {
    let position = Position::on(environment, "k");
    let (one, two) = (Token::random(), Token::random());
    assert_eq!(position.acquire(one), Acquire::Acquired(Floor::None));
    for token in [two, one] {
        let Acquire::Held { by, left } = position.acquire(token) else {
            panic!("the lease is taken");
        };
        assert_eq!(by, Some(one));
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
    }
    assert!(position.release(one));
    assert_eq!(position.acquire(two), Acquire::Acquired(Floor::None));
}

fn leases_of_two_records_are_apart(environment: &Environment) {
    let (one, two) = (
        Position::on(environment, "k"),
        Position::on(environment, "l"),
    );
    let token = Token::random();
    assert_eq!(one.acquire(token), Acquire::Acquired(Floor::None));
    assert_eq!(two.acquire(token), Acquire::Acquired(Floor::None));
    assert!(!one.invalidate());
    assert!(two.fill(token) && !one.fill(token));
    assert!(!one.is_there());
}

fn who_looks_is_handed_the_record_and_gets_no_lease(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let answer = position.acquire(Token::random());
    assert_eq!(answer, Acquire::Record(record("first")));
    assert!(position.is_free());
    // Also while another caller loads.
    let token = position.leased();
    let answer = position.acquire(Token::random());
    assert_eq!(answer, Acquire::Record(record("first")));
    assert!(position.fill(token));
}

fn who_does_not_look_gets_the_lease_and_the_record_stays(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.fill(token));
    assert_eq!(position.read(), Entry::Record(record("filled")));
}

fn who_finds_the_record_too_old_gets_a_newer_one_or_the_lease(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let ask = || position.acquire_for(Token::random(), LONG, Recheck::IfOver(LONG / 2));
    assert_eq!(ask(), Acquire::Record(record("first")));
    position.expire(LONG / 2);
    let token = Token::random();
    let asked = position.acquire_for(token, LONG, Recheck::IfOver(LONG / 2));
    assert_eq!(asked, Acquire::Acquired(Floor::None));
    // The record stays until it is replaced, and answers nobody who found it too old.
    assert!(matches!(ask(), Acquire::Held { by, .. } if by == Some(token)));
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.fill(token));
    assert_eq!(ask(), Acquire::Record(record("filled")));
    assert!(position.is_free());
}

fn a_fill_ends_the_lease(environment: &Environment) {
    let position = Position::on(environment, "k");
    let token = position.leased();
    assert!(position.fill(token));
    assert!(position.is_free());
    assert!(!position.fill_for(token, &record("again"), LONG));
    assert_eq!(position.read(), Entry::Record(record("filled")));
}

fn a_fill_without_the_lease_is_refused_and_changes_nothing(environment: &Environment) {
    let position = Position::filled(environment, "k");
    assert!(!position.fill(Token::random()));
    let token = position.leased();
    assert!(!position.fill(Token::random()));
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.fill(token), "nobody else ends it");
}

/// The second of the two basic rules. It also protects what a load found unchanged.
fn whatever_makes_a_load_wrong_refuses_its_fill(environment: &Environment) {
    let endings: [Operation; 11] = [
        ("keep", |position, token| {
            // Refused where there is no record, and the lease ends in any case.
            position.keep(token, LONG);
        }),
        ("release", |position, token| {
            assert!(position.release(token));
        }),
        ("back_off", |position, token| {
            assert!(position.back_off(token, LONG));
        }),
        ("expire", |position, _| {
            position.expire(LONG);
        }),
        ("invalidate", |position, _| {
            position.invalidate();
        }),
        ("invalidate_all", |position, _| {
            let all = position.store.invalidate_all(&[&position.keys]).unwrap();
            assert!(all[0].is_ok());
        }),
        ("guard", |position, _| {
            position.guard(Token::random(), BRIEF);
        }),
        ("unguard", |position, _| {
            position.unguard(Token::random());
        }),
        ("update_field", |position, _| {
            position.update_field("version", "2");
        }),
        ("update that declines", |position, _| {
            assert_eq!(position.update(|_| None), Update::Unchanged);
        }),
        ("lapse", |position, token| {
            assert!(position.renew(token, BRIEF));
            wait_out(BRIEF);
        }),
    ];
    for filled in [true, false] {
        for (name, end) in &endings {
            let position = if filled {
                Position::filled(environment, name)
            } else {
                Position::on(environment, &format!("{name}, empty"))
            };
            let token = position.leased();
            end(&position, token);
            assert!(!position.renew(token, LONG), "{name}");
            assert!(!position.fill(token), "{name}");
            assert!(!position.keep(token, LONG), "{name}");
            assert_ne!(position.read(), Entry::Record(record("filled")), "{name}");
            assert!(!position.release(token), "{name}");
        }
    }
}

fn a_release_is_the_holders_own_and_leaves_the_record(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    assert!(!position.release(Token::random()));
    assert!(!position.is_free());
    assert!(position.release(token));
    assert!(position.is_free());
    assert!(!position.release(token));
    assert_eq!(position.read(), Entry::Record(record("first")));
}

fn a_lease_lasts_its_ttl_to_the_millisecond(environment: &Environment) {
    let position = Position::on(environment, "k");
    let lease = || {
        position.leased_for(BRIEF);
    };
    lasts(BRIEF, lease, || !position.is_free());
}

fn a_lease_tells_how_long_it_lasts(environment: &Environment) {
    let position = Position::on(environment, "k");
    let began = Instant::now();
    position.leased_for(LONG);
    let Acquire::Held { left, .. } = position.ask() else {
        panic!("the lease is taken");
    };
    let slack = Duration::from_millis(3);
    assert!(left <= LONG + slack, "{left:?}");
    assert!(left + began.elapsed() + slack >= LONG, "{left:?}");
}

fn a_renewed_lease_lasts_from_then_on(environment: &Environment) {
    let position = Position::on(environment, "k");
    // Shorter or longer: what counts is the renewal.
    let token = position.leased();
    let renew = || assert!(position.renew(token, BRIEF));
    lasts(BRIEF, renew, || !position.is_free());

    // Repeated where a slow machine let the first lease lapse.
    let token = loop {
        let token = position.leased_for(BRIEF);
        if position.renew(token, LONG) {
            break token;
        }
    };
    wait_out(BRIEF);
    assert!(position.fill(token));
}

fn nobody_renews_anothers_lease(environment: &Environment) {
    let position = Position::on(environment, "k");
    assert!(!position.renew(Token::random(), LONG));
    assert!(position.is_free());
    let lease = || {
        position.leased_for(BRIEF);
        assert!(!position.renew(Token::random(), LONG));
    };
    lasts(BRIEF, lease, || !position.is_free());
}

fn each_of_many_renewals_is_a_step_of_its_own(environment: &Environment) {
    let spots: Vec<_> = ["held", "ended", "another's", "guarded", "never"]
        .map(|id| Position::on(environment, id))
        .into();
    let tokens: Vec<_> = spots[..3].iter().map(Position::leased).collect();
    assert!(!spots[1].invalidate());
    let writer = Token::random();
    spots[3].guard(writer, LONG);
    let asked = [tokens[0], tokens[1], Token::random(), writer, writer];
    let leases = spots
        .iter()
        .map(|position| position.keys.clone())
        .zip(asked);
    let leases: Vec<_> = leases.collect();

    let store = environment.store();
    let renewed = store.renew_all(&leases, BRIEF).unwrap();
    assert_eq!(renewed, [true, false, false, true, false]);
    wait_out(BRIEF);
    let free: Vec<_> = spots.iter().map(Position::is_free).collect();
    assert_eq!(free, [true, true, false, true, true]);
    assert_eq!(store.renew_all(&[], LONG).unwrap(), [false; 0]);
}

on_both_stores! {
    a_lease_is_one_callers_until_it_ends,
    leases_of_two_records_are_apart,
    who_looks_is_handed_the_record_and_gets_no_lease,
    who_does_not_look_gets_the_lease_and_the_record_stays,
    who_finds_the_record_too_old_gets_a_newer_one_or_the_lease,
    a_fill_ends_the_lease,
    a_fill_without_the_lease_is_refused_and_changes_nothing,
    whatever_makes_a_load_wrong_refuses_its_fill,
    a_release_is_the_holders_own_and_leaves_the_record,
    a_lease_lasts_its_ttl_to_the_millisecond,
    a_lease_tells_how_long_it_lasts,
    a_renewed_lease_lasts_from_then_on,
    nobody_renews_anothers_lease,
    each_of_many_renewals_is_a_step_of_its_own,
}
