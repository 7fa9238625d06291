//! Changes of a cached record: of one field, and of several.

use super::*;

fn a_field_is_set_where_a_record_is_cached(environment: &Environment) {
    let position = Position::on(environment, "k");
    assert_eq!(position.update_field("stock", "41"), Update::Unchanged);
    assert!(!position.is_there());

    position.put(&fields(&[("name", "Rye"), ("stock", "42")]), LONG);
    assert_eq!(position.update_field("name", "Oat"), Update::Changed);
    assert_eq!(position.update_field("note", ""), Update::Changed);
    let expected = [("name", "Oat"), ("stock", "42"), ("note", "")];
    assert_eq!(position.read(), entry(&expected));
}

fn an_update_sees_the_fields_sets_some_and_takes_others(environment: &Environment) {
    let position = Position::on(environment, "k");
    let old = [("a", "1"), ("b", "2"), ("c", "3")];
    position.put(&fields(&old), LONG);
    let changed = position.update(|seen| {
        assert_eq!(seen, fields(&old));
        Some(diff(&[("d", "4"), ("c", "5")], &["a", "no such field"]))
    });
    assert_eq!(changed, Update::Changed);
    assert_eq!(
        position.read(),
        entry(&[("b", "2"), ("c", "5"), ("d", "4")])
    );
}

fn a_field_that_is_set_and_goes_is_gone(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&fields(&[("a", "1"), ("b", "2")]), LONG);
    let change = |_| Some(diff(&[("a", "3"), ("c", "4")], &["a", "c"]));
    assert_eq!(position.update(change), Update::Changed);
    assert_eq!(position.read(), entry(&[("b", "2")]));
}

fn a_record_whose_last_field_goes_is_gone(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let change = |_| Some(diff(&[], &["name", "version"]));
    assert_eq!(
        position.update_for(Some(LONG.into()), change),
        Update::Changed
    );
    assert_eq!(position.read(), Entry::Absent);
    assert_eq!(position.ttl(), TtlRemaining::NoSuchKey);
}

fn an_update_that_declines_changes_nothing_and_ends_the_lease(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    assert_eq!(
        position.update_for(Some(BRIEF.into()), |_| None),
        Update::Unchanged
    );
    assert_eq!(position.read(), Entry::Record(record("first")));
    assert!(position.left() > BRIEF);
    assert!(!position.fill(token));
}

fn an_update_of_nothing_asks_nobody_and_ends_the_lease(environment: &Environment) {
    let position = Position::on(environment, "k");
    let token = position.leased();
    let change = |_| panic!("nothing is cached");
    assert_eq!(position.update(change), Update::Unchanged);
    assert!(!position.fill(token));
}

/// A load under way may hold the old value.
fn a_change_ends_the_lease(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    assert_eq!(position.update_field("version", "2"), Update::Changed);
    assert!(!position.fill(token));
    let token = position.leased();
    let changed = position.update(|_| Some(diff(&[("version", "3")], &[])));
    assert_eq!(changed, Update::Changed);
    assert!(!position.fill(token));
    assert_eq!(position.read(), Entry::Record(record("3")));
}

fn a_change_keeps_the_ttl_or_starts_it_anew(environment: &Environment) {
    let position = Position::on(environment, "k");
    let ways: [fn(&Position, Option<NewTtl>) -> Update; 2] = [
        |position, ttl| position.update_field_for("version", "2", ttl),
        |position, ttl| position.update_for(ttl, |_| Some(diff(&[("version", "3")], &[]))),
    ];
    for change in ways {
        // Either way: longer, or shorter.
        for (old, new) in [(LONG, 3 * LONG), (3 * LONG, LONG)] {
            position.put(&record("1"), old);
            assert_eq!(change(&position, None), Update::Changed);
            assert!(position.left() <= old && position.left() + LONG / 2 > old);
            assert_eq!(change(&position, Some(new.into())), Update::Changed);
            assert!(position.left() <= new && position.left() + LONG / 2 > new);
        }
        let brief = || {
            assert_eq!(change(&position, Some(BRIEF.into())), Update::Changed);
        };
        lasts(BRIEF, brief, || position.is_there());
        let kept = || {
            position.put(&record("1"), BRIEF);
            change(&position, None);
        };
        lasts(BRIEF, kept, || position.is_there());
    }
}

/// A step of another caller while the closure runs, with or without a lease.
fn an_update_is_overtaken_by_a_change_of_the_record(environment: &Environment) {
    let deeds: [Operation; 6] = [
        ("invalidate", |position, _| assert!(position.invalidate())),
        ("guard", |position, _| {
            assert!(position.guard(Token::random(), LONG));
        }),
        ("unguard", |position, _| {
            assert!(position.unguard(Token::random()));
        }),
        ("update_field", |position, _| {
            // Even to the value it has.
            let updated = position.update_field("version", "first");
            assert_eq!(updated, Update::Changed);
        }),
        ("update", |position, _| {
            let updated = position.update(|_| Some(diff(&[("version", "2")], &[])));
            assert_eq!(updated, Update::Changed);
        }),
        ("reload", |position, _| {
            assert!(position.invalidate());
            position.put(&record("first"), LONG);
        }),
    ];
    for (name, operation) in deeds {
        let position = Position::filled(environment, name);
        is_overtaken(&position, name, || operation(&position, Token::random()));
        let position = Position::filled(environment, &format!("{name}, leased"));
        let token = position.leased();
        is_overtaken(&position, name, || operation(&position, token));
    }
}

fn an_update_is_overtaken_by_a_change_of_the_lease(environment: &Environment) {
    let deeds: [Operation; 4] = [
        ("fill", |position, token| assert!(position.fill(token))),
        ("release", |position, token| {
            assert!(position.release(token));
        }),
        ("renew", |position, token| {
            assert!(position.renew(token, LONG));
        }),
        ("update that declines", |position, _| {
            assert_eq!(position.update(|_| None), Update::Unchanged);
        }),
    ];
    for (name, operation) in deeds {
        let position = Position::filled(environment, name);
        let token = position.leased();
        is_overtaken(&position, name, || operation(&position, token));
    }
}

/// Checks that an update during which this happens does nothing.
fn is_overtaken(position: &Position, name: &str, happens: impl Fn()) {
    let mut meanwhile = None;
    let updated = position.update_for(Some((3 * LONG).into()), |_| {
        happens();
        // No request for the lease now: it would itself change something.
        meanwhile = Some((position.read(), position.ttl()));
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Conflict, "{name}");
    let (read, ttl) = meanwhile.unwrap();
    assert_eq!(position.read(), read, "{name}");
    assert!(position.ttl().left() <= ttl.left(), "{name}");
}

fn an_update_that_is_overtaken_leaves_the_lease(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let token = position.leased();
    is_overtaken(&position, "renew", || assert!(position.renew(token, LONG)));
    assert!(position.fill(token));

    let writer = Token::random();
    is_overtaken(&position, "guard", || assert!(position.guard(writer, LONG)));
    assert!(position.renew(writer, LONG));
}

fn an_update_is_overtaken_by_a_load_that_begins(environment: &Environment) {
    let position = Position::filled(environment, "k");
    let mut begun = None;
    let updated = position.update(|_| {
        begun = Some(position.leased());
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Conflict);
    assert!(position.fill(begun.unwrap()), "its lease is untouched");
}

fn an_update_is_overtaken_where_its_record_or_a_lease_lapses(environment: &Environment) {
    let ttl = 4 * BRIEF;
    let deeds: [fn(&Position, Duration); 2] = [
        |position, ttl| position.put(&record("brief"), ttl),
        |position, ttl| {
            position.put(&record("long"), LONG);
            position.leased_for(ttl);
        },
    ];
    for begin in deeds {
        let position = Position::on(environment, "k");
        loop {
            let began = Instant::now();
            begin(&position, ttl);
            let mut in_time = false;
            let updated = position.update(|_| {
                in_time = began.elapsed() < ttl;
                wait_out(ttl);
                Some(diff(&[("version", "mine")], &[]))
            });
            // Repeated where a slow machine let it lapse before.
            if in_time {
                assert_eq!(updated, Update::Conflict);
                break;
            }
        }
        assert_ne!(position.read(), Entry::Record(record("mine")));
    }
}

fn an_update_is_not_overtaken_by_what_changes_nothing(environment: &Environment) {
    let (position, other) = (
        Position::filled(environment, "k"),
        Position::filled(environment, "l"),
    );
    let token = position.leased();
    let updated = position.update(|_| {
        position.read();
        position.ttl();
        position.acquire(Token::random());
        let answer = position.acquire_for(Token::random(), LONG, Recheck::Never);
        assert!(matches!(answer, Acquire::Held { .. }));
        for stranger in [Token::random(), Token::random()] {
            assert!(!position.fill(stranger));
            assert!(!position.release(stranger));
            assert!(!position.renew(stranger, LONG));
        }
        // Another record is another record.
        other.update_field("version", "2");
        other.invalidate();
        other.guard(token, LONG);
        Some(diff(&[("version", "mine")], &[]))
    });
    assert_eq!(updated, Update::Changed);
    assert_eq!(position.read(), Entry::Record(record("mine")));
}

fn updates_at_the_same_time_lose_none_of_their_changes(environment: &Environment) {
    const THREADS: usize = 4;
    const EACH: usize = 50;
    let position = Position::on(environment, "k");
    position.put(&fields(&[("count", "0")]), LONG);
    let add_one = |seen: Fields| {
        let count = String::from_utf8(seen[0].1.clone()).unwrap();
        let count: usize = count.parse().unwrap();
        Some(diff(&[("count", &(count + 1).to_string())], &[]))
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    while position.update(add_one) == Update::Conflict {}
                }
            });
        }
    });
    let count = (THREADS * EACH).to_string();
    assert_eq!(position.read(), entry(&[("count", &count)]));
}

on_both_stores! {
    a_field_is_set_where_a_record_is_cached,
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
