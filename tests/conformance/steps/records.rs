//! The record: which fields are kept, and for how long.

use std::collections::BTreeMap;

use super::*;

/// A way to find out whether there is a record, and its name.
type Look = (&'static str, fn(&Position) -> bool);

fn a_record_lasts_its_ttl_to_the_millisecond(environment: &Environment) {
    let looks: [Look; 3] = [
        ("read", Position::is_there),
        ("ttl", |position| position.ttl() != TtlRemaining::NoSuchKey),
        ("acquire", |position| {
            let token = Token::random();
            let answer = position.acquire(token);
            matches!(answer, Acquire::Record(_)) || !position.release(token)
        }),
    ];
    for (name, is_there) in looks {
        let position = Position::on(environment, name);
        let put = || position.put(&record("brief"), BRIEF);
        lasts(BRIEF, put, || is_there(&position));
    }
}

fn a_record_that_lapsed_is_none(environment: &Environment) {
    let position = Position::on(environment, "k");
    let lapsed = || {
        position.put(&record("brief"), BRIEF);
        wait_out(BRIEF);
    };
    lapsed();
    assert!(!position.invalidate());
    lapsed();
    let writer = Token::random();
    assert!(!position.guard(writer, LONG));
    position.unguard(writer);
    lapsed();
    assert!(!position.unguard(writer));
    lapsed();
    assert_eq!(position.update_field("version", "2"), Update::Unchanged);
    assert!(!position.is_there());
    lapsed();
    let change = |_| panic!("nothing is cached");
    assert_eq!(position.update(change), Update::Unchanged);
}

fn the_ttl_tells_what_is_left(environment: &Environment) {
    let position = Position::on(environment, "k");
    assert_eq!(position.ttl(), TtlRemaining::NoSuchKey);
    let slack = Duration::from_millis(3);
    let began = Instant::now();
    position.put(&record("long"), LONG);
    let (left, elapsed) = (position.left(), began.elapsed());
    assert!(left <= LONG + slack, "{left:?}");
    assert!(left + elapsed + slack >= LONG, "{left:?} after {elapsed:?}");
    position.invalidate();
    assert_eq!(position.ttl(), TtlRemaining::NoSuchKey);
}

/// The longest TTL that the settings of a cache allow.
fn ten_years_are_a_ttl(environment: &Environment) {
    let position = Position::on(environment, "k");
    let years = Duration::from_secs(10 * 366 * 24 * 60 * 60);
    let (token, writer) = (position.leased_for(years), Token::random());
    assert!(position.renew(token, years));
    assert!(position.fill_for(token, &record("old"), years));
    assert!(position.left() + LONG > years);
    assert!(position.guard(writer, years));
    assert!(position.renew(writer, years));
    assert!(!position.is_free());
}

fn a_fill_replaces_the_whole_record_and_its_ttl(environment: &Environment) {
    let position = Position::on(environment, "k");
    position.put(&fields(&[("a", "1"), ("b", "2")]), BRIEF);
    position.put(&fields(&[("b", "3"), ("c", "4")]), LONG);
    wait_out(BRIEF);
    assert_eq!(position.read(), entry(&[("b", "3"), ("c", "4")]));
    // A cached "no such record" is a record, too.
    let none = fields(&[("__cache_aside_not_found", "1")]);
    position.put(&none, LONG);
    assert_eq!(position.read(), Entry::Record(none));
    position.put(&record("found"), LONG);
    assert_eq!(position.read(), Entry::Record(record("found")));
}

/// As in a hash.
fn of_a_field_that_comes_twice_the_last_value_is_kept_in_the_first_place(
    environment: &Environment,
) {
    let position = Position::on(environment, "k");
    position.put(&fields(&[("a", "1"), ("b", "2"), ("a", "3")]), LONG);
    assert_eq!(position.read(), entry(&[("a", "3"), ("b", "2")]));
    let change = |_| Some(diff(&[("c", "4"), ("b", "5"), ("c", "6")], &[]));
    assert_eq!(position.update(change), Update::Changed);
    let expected = entry(&[("a", "3"), ("b", "5"), ("c", "6")]);
    assert_eq!(position.read(), expected);
}

fn a_record_without_a_field_is_none(environment: &Environment) {
    let position = Position::filled(environment, "k");
    position.put(&Fields::new(), LONG);
    assert_eq!(position.read(), Entry::Absent);
    assert_eq!(position.ttl(), TtlRemaining::NoSuchKey);
    assert!(!position.invalidate());
}

fn an_invalidation_says_whether_there_was_a_record(environment: &Environment) {
    let position = Position::filled(environment, "k");
    assert!(position.invalidate());
    assert!(!position.invalidate());
    assert_eq!(position.read(), Entry::Absent);
}

fn each_of_many_invalidations_is_a_step_of_its_own(environment: &Environment) {
    let spots = ["filled", "leased", "guarded", "never"].map(|id| Position::on(environment, id));
    let [filled, leased, guarded, _] = &spots;
    filled.put(&record("first"), LONG);
    let (token, writer) = (leased.leased(), Token::random());
    guarded.guard(writer, LONG);
    let nonce = guarded.nonce();
    let keys: Vec<_> = spots.iter().map(|position| &position.keys).collect();
    let done = environment.store().invalidate_all(&keys).unwrap();
    assert!(done.len() == 4 && done.iter().all(Result::is_ok));
    assert!(!filled.is_there());
    assert!(!leased.fill(token));
    assert_ne!(guarded.nonce(), nonce);
    assert!(environment.store().invalidate_all(&[]).unwrap().is_empty());
}

fn ids_names_and_values_are_binary_safe(environment: &Environment) {
    let all: Vec<u8> = (0..=255).collect();
    let record = vec![
        (all.clone(), all),
        (Vec::new(), Vec::new()),
        (b"\0".to_vec(), b"\r\n".to_vec()),
    ];
    let map: BTreeMap<_, _> = record.iter().cloned().collect();
    let ids = [
        "",
        " ",
        "\0",
        "\r\n",
        "a\0b",
        "{",
        "}",
        "{}",
        "{t}k",
        "ü🥖\u{202e}",
        "*",
        "nonce",
    ];
    for id in ids {
        let position = Position::on(environment, id);
        assert!(!position.is_there(), "{id:?} is no other id");
        position.put(&record, LONG);
        assert_eq!(sorted(position.read()), map, "{id:?}");
        assert_eq!(position.update_field("", "\0"), Update::Changed, "{id:?}");
        let updated = position.update(|fields| {
            let fields: BTreeMap<_, _> = fields.into_iter().collect();
            assert_eq!(fields[b"".as_slice()], b"\0");
            Some(diff(&[("\n", "")], &["\0"]))
        });
        assert_eq!(updated, Update::Changed, "{id:?}");
        let names: Vec<_> = sorted(position.read()).into_keys().collect();
        assert_eq!(names[..2], [b"".to_vec(), record[0].0.clone()], "{id:?}");
        assert_eq!(names[2..], [b"\n"], "{id:?}");
        let writer = Token::random();
        position.guard(writer, LONG);
        assert!(
            position.renew(writer, LONG) && !position.is_free(),
            "{id:?}"
        );
        position.unguard(writer);
        position.put(&record, LONG);
    }
    for id in ids {
        assert!(Position::on(environment, id).invalidate(), "{id:?}");
    }
}

fn a_record_of_twenty_thousand_fields_is_filled_and_changed(environment: &Environment) {
    let many = |value: &str| -> Fields {
        let field = |n: u32| (format!("field {n}").into(), value.into());
        (0..20_000).map(field).collect()
    };
    let position = Position::on(environment, "k");
    position.put(&many("old"), LONG);
    assert_eq!(sorted(position.read()), many("old").into_iter().collect());
    assert_eq!(position.update_field("field 7", "new"), Update::Changed);
    let set = many("new");
    let changed = position.update(|_| {
        let (set, removed) = (set.clone(), Vec::new());
        Some(Diff { set, removed })
    });
    assert_eq!(changed, Update::Changed);
    assert_eq!(sorted(position.read()), many("new").into_iter().collect());
    let removed = set.iter().skip(1).map(|(name, _)| name.clone());
    let removed: Vec<_> = removed.collect();
    let changed = position.update(|_| {
        let (set, removed) = (Fields::new(), removed.clone());
        Some(Diff { set, removed })
    });
    assert_eq!(changed, Update::Changed);
    assert_eq!(position.read(), entry(&[("field 0", "new")]));
}

/// A hash of this size has no order.
fn sorted(entry: Entry) -> BTreeMap<Vec<u8>, Vec<u8>> {
    match entry {
        Entry::Record(fields) => fields.into_iter().collect(),
        other => panic!("{other:?}"),
    }
}

fn values_of_a_mebibyte_pass(environment: &Environment) {
    let position = Position::on(environment, "k");
    let value = |shift: u8| -> Vec<u8> {
        let bytes = (0..1 << 20_u32).map(|at: u32| at.to_le_bytes()[0] ^ shift);
        bytes.collect()
    };
    let large = |shift| vec![(b"photo".to_vec(), value(shift))];
    position.put(&large(0), LONG);
    assert!(position.read() == Entry::Record(large(0)));
    let changed = position.update(|_| Some(set("photo", &value(1))));
    assert_eq!(changed, Update::Changed);
    let changed = position.update(|fields| {
        assert!(fields == large(1));
        let (set, removed) = (large(2), Vec::new());
        Some(Diff { set, removed })
    });
    assert_eq!(changed, Update::Changed);
    assert!(position.acquire(Token::random()) == Acquire::Record(large(2)));
}

/// Each step is atomic for a reader.
fn a_reader_never_finds_a_gap_or_a_part_while_a_record_changes(environment: &Environment) {
    const CHANGES: u32 = 2_000;
    let position = Position::on(environment, "k");
    let pair = |version: u32| {
        let version = version.to_string();
        fields(&[("a", &version), ("b", &version)])
    };
    position.put(&pair(0), LONG);
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for version in 1..=CHANGES {
                match version % 3 {
                    0 => position.put(&pair(version), LONG),
                    1 => {
                        let change = |_| {
                            let (set, removed) = (pair(version), Vec::new());
                            Some(Diff { set, removed })
                        };
                        assert_eq!(position.update(change), Update::Changed);
                    }
                    _ => assert_eq!(position.update_field("c", "0"), Update::Changed),
                }
            }
        });
        let mut seen = 0;
        while !changes.is_finished() {
            assert_ne!(position.ttl(), TtlRemaining::NoSuchKey);
            let Entry::Record(fields) = position.read() else {
                panic!("a gap, after version {seen}");
            };
            let number = |at: usize| -> u32 {
                let value = String::from_utf8(fields[at].1.clone()).unwrap();
                value.parse().unwrap()
            };
            assert_eq!(number(0), number(1), "half of a change");
            assert!(number(0) >= seen, "{} after {seen}", number(0));
            seen = number(0);
        }
    });
}

on_both_stores! {
    a_record_lasts_its_ttl_to_the_millisecond,
    a_record_that_lapsed_is_none,
    the_ttl_tells_what_is_left,
    ten_years_are_a_ttl,
    a_fill_replaces_the_whole_record_and_its_ttl,
    of_a_field_that_comes_twice_the_last_value_is_kept_in_the_first_place,
    a_record_without_a_field_is_none,
    an_invalidation_says_whether_there_was_a_record,
    each_of_many_invalidations_is_a_step_of_its_own,
    ids_names_and_values_are_binary_safe,
    a_record_of_twenty_thousand_fields_is_filled_and_changed,
    values_of_a_mebibyte_pass,
    a_reader_never_finds_a_gap_or_a_part_while_a_record_changes,
}
