//! The lease: acquire, fill, release, renew.

use super::*;

fn a_lease_is_one_callers_until_it_ends(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let (one, two) = (Token::random(), Token::random());
    assert_eq!(spot.acquire(one), Acquire::Acquired);
    for token in [two, one] {
        let Acquire::Held { by, left } = spot.acquire(token) else {
            panic!("the lease is taken");
        };
        assert_eq!(by, Some(one));
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
    }
    assert!(spot.release(one));
    assert_eq!(spot.acquire(two), Acquire::Acquired);
}

fn leases_of_two_records_are_apart(ground: &Ground) {
    let (one, two) = (Spot::on(ground, "k"), Spot::on(ground, "l"));
    let token = Token::random();
    assert_eq!(one.acquire(token), Acquire::Acquired);
    assert_eq!(two.acquire(token), Acquire::Acquired);
    assert!(!one.invalidate());
    assert!(two.fill(token) && !one.fill(token));
    assert!(!one.is_there());
}

fn who_looks_is_handed_the_record_and_gets_no_lease(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let answer = spot.acquire(Token::random());
    assert_eq!(answer, Acquire::Record(record("first")));
    assert!(spot.is_free());
    // Also while somebody loads.
    let token = spot.leased();
    let answer = spot.acquire(Token::random());
    assert_eq!(answer, Acquire::Record(record("first")));
    assert!(spot.fill(token));
}

fn who_does_not_look_gets_the_lease_and_the_record_stays(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    assert_eq!(spot.read(), Entry::Record(record("first")));
    assert!(spot.fill(token));
    assert_eq!(spot.read(), Entry::Record(record("filled")));
}

fn a_fill_ends_the_lease(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let token = spot.leased();
    assert!(spot.fill(token));
    assert!(spot.is_free());
    assert!(!spot.fill_for(token, &record("again"), LONG));
    assert_eq!(spot.read(), Entry::Record(record("filled")));
}

fn a_fill_without_the_lease_is_refused_and_changes_nothing(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    assert!(!spot.fill(Token::random()));
    let token = spot.leased();
    assert!(!spot.fill(Token::random()));
    assert_eq!(spot.read(), Entry::Record(record("first")));
    assert!(spot.fill(token), "nobody else ends it");
}

/// The second of the two rules that everything rests on.
fn whatever_makes_a_load_wrong_refuses_its_fill(ground: &Ground) {
    let endings: [Deed; 10] = [
        ("release", |spot, token| assert!(spot.release(token))),
        ("back_off", |spot, token| {
            assert!(spot.back_off(token, LONG));
        }),
        ("expire", |spot, _| {
            spot.expire(LONG);
        }),
        ("invalidate", |spot, _| {
            spot.invalidate();
        }),
        ("invalidate_all", |spot, _| {
            let all = spot.store.invalidate_all(&[&spot.keys]).unwrap();
            assert!(all[0].is_ok());
        }),
        ("guard", |spot, _| {
            spot.guard(Token::random(), BRIEF);
        }),
        ("unguard", |spot, _| {
            spot.unguard(Token::random());
        }),
        ("update_field", |spot, _| {
            spot.update_field("version", "2");
        }),
        ("update that declines", |spot, _| {
            assert_eq!(spot.update(|_| None), Update::Unchanged);
        }),
        ("lapse", |spot, token| {
            assert!(spot.renew(token, BRIEF));
            wait_out(BRIEF);
        }),
    ];
    for filled in [true, false] {
        for (name, end) in &endings {
            let spot = if filled {
                Spot::filled(ground, name)
            } else {
                Spot::on(ground, &format!("{name}, empty"))
            };
            let token = spot.leased();
            end(&spot, token);
            assert!(!spot.renew(token, LONG), "{name}");
            assert!(!spot.fill(token), "{name}");
            assert_ne!(spot.read(), Entry::Record(record("filled")), "{name}");
            assert!(!spot.release(token), "{name}");
        }
    }
}

fn a_release_is_the_holders_own_and_leaves_the_record(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    assert!(!spot.release(Token::random()));
    assert!(!spot.is_free());
    assert!(spot.release(token));
    assert!(spot.is_free());
    assert!(!spot.release(token));
    assert_eq!(spot.read(), Entry::Record(record("first")));
}

fn a_lease_lasts_its_ttl_to_the_millisecond(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let lease = || {
        spot.leased_for(BRIEF);
    };
    lasts(BRIEF, lease, || !spot.is_free());
}

fn a_lease_tells_how_long_it_lasts(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let began = Instant::now();
    spot.leased_for(LONG);
    let Acquire::Held { left, .. } = spot.ask() else {
        panic!("the lease is taken");
    };
    let slack = Duration::from_millis(3);
    assert!(left <= LONG + slack, "{left:?}");
    assert!(left + began.elapsed() + slack >= LONG, "{left:?}");
}

fn a_renewed_lease_lasts_from_then_on(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    // Shorter or longer: what counts is the renewal.
    let token = spot.leased();
    let renew = || assert!(spot.renew(token, BRIEF));
    lasts(BRIEF, renew, || !spot.is_free());

    // Again, where the machine was so slow that the first lease had lapsed.
    let token = loop {
        let token = spot.leased_for(BRIEF);
        if spot.renew(token, LONG) {
            break token;
        }
    };
    wait_out(BRIEF);
    assert!(spot.fill(token));
}

fn nobody_renews_anothers_lease(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    assert!(!spot.renew(Token::random(), LONG));
    assert!(spot.is_free());
    let lease = || {
        spot.leased_for(BRIEF);
        assert!(!spot.renew(Token::random(), LONG));
    };
    lasts(BRIEF, lease, || !spot.is_free());
}

fn each_of_many_renewals_is_a_step_of_its_own(ground: &Ground) {
    let spots: Vec<_> = ["held", "ended", "another's", "guarded", "never"]
        .map(|id| Spot::on(ground, id))
        .into();
    let tokens: Vec<_> = spots[..3].iter().map(Spot::leased).collect();
    assert!(!spots[1].invalidate());
    let writer = Token::random();
    spots[3].guard(writer, LONG);
    let asked = [tokens[0], tokens[1], Token::random(), writer, writer];
    let leases = spots.iter().map(|spot| spot.keys.clone()).zip(asked);
    let leases: Vec<_> = leases.collect();

    let store = ground.store();
    let renewed = store.renew_all(&leases, BRIEF).unwrap();
    assert_eq!(renewed, [true, false, false, true, false]);
    wait_out(BRIEF);
    let free: Vec<_> = spots.iter().map(Spot::is_free).collect();
    assert_eq!(free, [true, true, false, true, true]);
    assert_eq!(store.renew_all(&[], LONG).unwrap(), [false; 0]);
}

on_both_stores! {
    a_lease_is_one_callers_until_it_ends,
    leases_of_two_records_are_apart,
    who_looks_is_handed_the_record_and_gets_no_lease,
    who_does_not_look_gets_the_lease_and_the_record_stays,
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
