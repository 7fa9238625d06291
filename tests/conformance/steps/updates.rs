//! Changes of a cached record: `update_field` and `update`.

use super::*;

fn a_field_is_set_where_a_record_is_cached(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    assert_eq!(spot.update_field("stock", "41"), Update::Unchanged);
    assert!(!spot.is_there());

    spot.put(&fields(&[("name", "Rye"), ("stock", "42")]), LONG);
    assert_eq!(spot.update_field("name", "Oat"), Update::Changed);
    assert_eq!(spot.update_field("note", ""), Update::Changed);
    let expected = [("name", "Oat"), ("stock", "42"), ("note", "")];
    assert_eq!(spot.read(), entry(&expected));
}

fn a_field_of_what_is_not_found_is_not_set_and_that_goes(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    spot.put(&fields(&[("__cache_aside_not_found", "1")]), LONG);
    assert_eq!(spot.update_field("stock", "41"), Update::Unchanged);
    assert_eq!(spot.read(), Entry::Absent);
}

fn an_update_sees_the_fields_sets_some_and_takes_others(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let old = [("a", "1"), ("b", "2"), ("c", "3")];
    spot.put(&fields(&old), LONG);
    let changed = spot.update(|seen| {
        assert_eq!(seen, fields(&old));
        Some(diff(&[("d", "4"), ("c", "5")], &["a", "no such field"]))
    });
    assert_eq!(changed, Update::Changed);
    assert_eq!(spot.read(), entry(&[("b", "2"), ("c", "5"), ("d", "4")]));
}

fn a_field_that_is_set_and_goes_is_gone(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    spot.put(&fields(&[("a", "1"), ("b", "2")]), LONG);
    let change = |_| Some(diff(&[("a", "3"), ("c", "4")], &["a", "c"]));
    assert_eq!(spot.update(change), Update::Changed);
    assert_eq!(spot.read(), entry(&[("b", "2")]));
}

fn a_record_whose_last_field_goes_is_gone(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let change = |_| Some(diff(&[], &["name", "version"]));
    assert_eq!(spot.update_for(Some(LONG.into()), change), Update::Changed);
    assert_eq!(spot.read(), Entry::Absent);
    assert_eq!(spot.ttl(), TtlRemaining::NoSuchKey);
}

fn an_update_that_declines_changes_nothing_and_ends_the_lease(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    assert_eq!(
        spot.update_for(Some(BRIEF.into()), |_| None),
        Update::Unchanged
    );
    assert_eq!(spot.read(), Entry::Record(record("first")));
    assert!(spot.left() > BRIEF);
    assert!(!spot.fill(token));
}

fn an_update_of_nothing_asks_nobody_and_ends_the_lease(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let token = spot.leased();
    let change = |_| panic!("nothing is cached");
    assert_eq!(spot.update(change), Update::Unchanged);
    assert!(!spot.fill(token));
}

/// A load under way may hold the old value.
fn a_change_ends_the_lease(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    assert_eq!(spot.update_field("version", "2"), Update::Changed);
    assert!(!spot.fill(token));
    let token = spot.leased();
    let changed = spot.update(|_| Some(diff(&[("version", "3")], &[])));
    assert_eq!(changed, Update::Changed);
    assert!(!spot.fill(token));
    assert_eq!(spot.read(), Entry::Record(record("3")));
}

fn a_change_keeps_the_ttl_or_starts_it_anew(ground: &Ground) {
    let spot = Spot::on(ground, "k");
    let ways: [fn(&Spot, Option<NewTtl>) -> Update; 2] = [
        |spot, ttl| spot.update_field_for("version", "2", ttl),
        |spot, ttl| spot.update_for(ttl, |_| Some(diff(&[("version", "3")], &[]))),
    ];
    for change in ways {
        // Either way: longer, or shorter.
        for (old, new) in [(LONG, 3 * LONG), (3 * LONG, LONG)] {
            spot.put(&record("1"), old);
            assert_eq!(change(&spot, None), Update::Changed);
            assert!(spot.left() <= old && spot.left() + LONG / 2 > old);
            assert_eq!(change(&spot, Some(new.into())), Update::Changed);
            assert!(spot.left() <= new && spot.left() + LONG / 2 > new);
        }
        let brief = || {
            assert_eq!(change(&spot, Some(BRIEF.into())), Update::Changed);
        };
        lasts(BRIEF, brief, || spot.is_there());
        let kept = || {
            spot.put(&record("1"), BRIEF);
            change(&spot, None);
        };
        lasts(BRIEF, kept, || spot.is_there());
    }
}

/// What somebody does while the closure runs, with the lease or without one.
fn an_update_is_overtaken_by_a_change_of_the_record(ground: &Ground) {
    let deeds: [Deed; 6] = [
        ("invalidate", |spot, _| assert!(spot.invalidate())),
        ("guard", |spot, _| {
            assert!(spot.guard(Token::random(), LONG));
        }),
        ("unguard", |spot, _| assert!(spot.unguard(Token::random()))),
        ("update_field", |spot, _| {
            // Even to the value it has.
            let updated = spot.update_field("version", "first");
            assert_eq!(updated, Update::Changed);
        }),
        ("update", |spot, _| {
            let updated = spot.update(|_| Some(diff(&[("version", "2")], &[])));
            assert_eq!(updated, Update::Changed);
        }),
        ("reload", |spot, _| {
            assert!(spot.invalidate());
            spot.put(&record("first"), LONG);
        }),
    ];
    for (name, deed) in deeds {
        let spot = Spot::filled(ground, name);
        is_overtaken(&spot, name, || deed(&spot, Token::random()));
        let spot = Spot::filled(ground, &format!("{name}, leased"));
        let token = spot.leased();
        is_overtaken(&spot, name, || deed(&spot, token));
    }
}

fn an_update_is_overtaken_by_a_change_of_the_lease(ground: &Ground) {
    let deeds: [Deed; 4] = [
        ("fill", |spot, token| assert!(spot.fill(token))),
        ("release", |spot, token| assert!(spot.release(token))),
        ("renew", |spot, token| assert!(spot.renew(token, LONG))),
        ("update that declines", |spot, _| {
            assert_eq!(spot.update(|_| None), Update::Unchanged);
        }),
    ];
    for (name, deed) in deeds {
        let spot = Spot::filled(ground, name);
        let token = spot.leased();
        is_overtaken(&spot, name, || deed(&spot, token));
    }
}

/// Sees that an update during which this happens does nothing.
fn is_overtaken(spot: &Spot, name: &str, happens: impl Fn()) {
    let mut meanwhile = None;
    let updated = spot.update_for(Some((3 * LONG).into()), |_| {
        happens();
        // Nobody may ask for the lease now, which would be a change of its own.
        meanwhile = Some((spot.read(), spot.ttl()));
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Overtaken, "{name}");
    let (read, ttl) = meanwhile.unwrap();
    assert_eq!(spot.read(), read, "{name}");
    assert!(spot.ttl().left() <= ttl.left(), "{name}");
}

fn an_update_that_is_overtaken_leaves_the_lease(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let token = spot.leased();
    is_overtaken(&spot, "renew", || assert!(spot.renew(token, LONG)));
    assert!(spot.fill(token));

    let writer = Token::random();
    is_overtaken(&spot, "guard", || assert!(spot.guard(writer, LONG)));
    assert!(spot.renew(writer, LONG));
}

fn an_update_is_overtaken_by_a_load_that_begins(ground: &Ground) {
    let spot = Spot::filled(ground, "k");
    let mut begun = None;
    let updated = spot.update(|_| {
        begun = Some(spot.leased());
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Overtaken);
    assert!(spot.fill(begun.unwrap()), "its lease is untouched");
}

fn an_update_is_overtaken_where_its_record_or_a_lease_lapses(ground: &Ground) {
    let ttl = 4 * BRIEF;
    let deeds: [fn(&Spot, Duration); 2] = [
        |spot, ttl| spot.put(&record("brief"), ttl),
        |spot, ttl| {
            spot.put(&record("long"), LONG);
            spot.leased_for(ttl);
        },
    ];
    for begin in deeds {
        let spot = Spot::on(ground, "k");
        loop {
            let began = Instant::now();
            begin(&spot, ttl);
            let mut in_time = false;
            let updated = spot.update(|_| {
                in_time = began.elapsed() < ttl;
                wait_out(ttl);
                Some(diff(&[("version", "mine")], &[]))
            });
            // Again, where the machine was so slow that it had lapsed before.
            if in_time {
                assert_eq!(updated, Update::Overtaken);
                break;
            }
        }
        assert_ne!(spot.read(), Entry::Record(record("mine")));
    }
}

fn an_update_is_not_overtaken_by_what_changes_nothing(ground: &Ground) {
    let (spot, other) = (Spot::filled(ground, "k"), Spot::filled(ground, "l"));
    let token = spot.leased();
    let updated = spot.update(|_| {
        spot.read();
        spot.ttl();
        spot.acquire(Token::random());
        let answer = spot.acquire_for(Token::random(), LONG, false);
        assert!(matches!(answer, Acquire::Held { .. }));
        for stranger in [Token::random(), Token::random()] {
            assert!(!spot.fill(stranger));
            assert!(!spot.release(stranger));
            assert!(!spot.renew(stranger, LONG));
        }
        // Another record is another record.
        other.update_field("version", "2");
        other.invalidate();
        other.guard(token, LONG);
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Changed);
    assert_eq!(spot.read(), Entry::Record(record("mine")));
}

fn updates_at_the_same_time_lose_none_of_their_changes(ground: &Ground) {
    const THREADS: usize = 4;
    const EACH: usize = 50;
    let spot = Spot::on(ground, "k");
    spot.put(&fields(&[("count", "0")]), LONG);
    let add_one = |seen: Fields| {
        let count = String::from_utf8(seen[0].1.clone()).unwrap();
        let count: usize = count.parse().unwrap();
        Some(diff(&[("count", &(count + 1).to_string())], &[]))
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    while spot.update(add_one) == Update::Overtaken {}
                }
            });
        }
    });
    let count = (THREADS * EACH).to_string();
    assert_eq!(spot.read(), entry(&[("count", &count)]));
}

on_both_stores! {
    a_field_is_set_where_a_record_is_cached,
    a_field_of_what_is_not_found_is_not_set_and_that_goes,
    an_update_sees_the_fields_sets_some_and_takes_others,
    a_field_that_is_set_and_goes_is_gone,
    a_record_whose_last_field_goes_is_gone,
    an_update_that_declines_changes_nothing_and_ends_the_lease,
    an_update_of_nothing_asks_nobody_and_ends_the_lease,
    a_change_ends_the_lease,
    a_change_keeps_the_ttl_or_starts_it_anew,
    an_update_is_overtaken_by_a_change_of_the_record,
    an_update_is_overtaken_by_a_change_of_the_lease,
    an_update_that_is_overtaken_leaves_the_lease,
    an_update_is_overtaken_by_a_load_that_begins,
    an_update_is_overtaken_where_its_record_or_a_lease_lapses,
    an_update_is_not_overtaken_by_what_changes_nothing,
    updates_at_the_same_time_lose_none_of_their_changes,
}
