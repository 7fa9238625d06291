//! The steps for many records at once: the same as one by one.

use super::*;
use cache_aside::store::{AcquireRequest, Completion, CompletionKind, RefreshRequest};

fn each_of_many_reads_is_a_read_of_its_own(environment: &Environment) {
    let ids = ["filled", "absent", "negative", "{tag}", "filled again"];
    let spots = ids.map(|id| Position::on(environment, id));
    spots[0].put(&record("0"), LONG);
    spots[2].put(&fields(&[("__cache_aside_not_found", "1")]), LONG);
    spots[3].put(&record("3"), LONG);
    spots[4].put(&record("4"), LONG);
    let data: Vec<_> = spots
        .iter()
        .map(|position| position.keys.data.as_str())
        .collect();
    let read = environment.store().read_all(&data).unwrap();
    let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
    let alone: Vec<_> = spots.iter().map(Position::read).collect();
    assert_eq!(read, alone);
    assert_eq!(read[0], Entry::Record(record("0")));
    assert_eq!(read[1], Entry::Absent);
    assert!(environment.store().read_all(&[]).unwrap().is_empty());
}

fn each_of_many_questions_is_answered_by_itself(environment: &Environment) {
    let ids = ["free", "filled", "too old", "held", "guarded"];
    let spots = ids.map(|id| Position::on(environment, id));
    spots[1].put(&record("1"), LONG);
    spots[2].put(&record("2"), LONG);
    let holder = spots[3].leased();
    spots[4].guard(Token::random(), LONG);
    let nonce = spots[4].nonce();
    let tokens = ids.map(|_| Token::random());
    let questions = ask(&spots, &tokens, |at| match at {
        2 => Recheck::IfOver(LONG),
        _ => Recheck::Always,
    });
    let answers = environment.store().acquire_all(&questions, LONG).unwrap();
    let mut answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let Acquire::Held { by, left } = answers.remove(3) else {
        panic!("the lease is taken");
    };
    assert_eq!(by, Some(holder));
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    let expected = [
        Acquire::Acquired(Floor::None),
        Acquire::Record(record("1")),
        Acquire::Acquired(Floor::None),
        Acquire::Guarded {
            nonce,
            floor: Floor::None,
        },
    ];
    assert_eq!(answers, expected);
    assert!(spots[0].fill(tokens[0]) && spots[2].fill(tokens[2]));
    assert!(
        environment
            .store()
            .acquire_all(&[], LONG)
            .unwrap()
            .is_empty()
    );
}

fn ask<'a>(
    spots: &'a [Position],
    tokens: &'a [Token],
    recheck: impl Fn(usize) -> Recheck,
) -> Vec<AcquireRequest<'a>> {
    let each = spots.iter().zip(tokens).enumerate();
    each.map(|(at, (position, &token))| AcquireRequest {
        keys: &position.keys,
        token,
        recheck: recheck(at),
    })
    .collect()
}

fn each_of_many_loads_is_finished_under_its_own_token(environment: &Environment) {
    let ids = ["filled", "released", "ended", "another's", "not mine"];
    let spots = ids.map(|id| Position::filled(environment, id));
    let mut tokens = [0, 1, 2, 3, 4].map(|at| spots[at].leased());
    assert!(spots[2].invalidate());
    tokens[3] = Token::random();
    tokens[4] = Token::random();
    let filled = record("filled");
    let end = |at| match at {
        0 | 2 | 3 => CompletionKind::Fill(LONG, &filled),
        _ => CompletionKind::Release,
    };
    let loads: Vec<_> = (0..5)
        .map(|at| Completion {
            keys: &spots[at].keys,
            token: tokens[at],
            end: end(at),
        })
        .collect();
    let finished = environment.store().finish_all(&loads).unwrap();
    let finished: Vec<_> = finished.into_iter().map(Result::unwrap).collect();
    assert_eq!(finished, [true, true, false, false, false]);
    let old = || Entry::Record(record("first"));
    let read: Vec<_> = spots.iter().map(Position::read).collect();
    let expected = [
        Entry::Record(filled.clone()),
        old(),
        Entry::Absent,
        old(),
        old(),
    ];
    assert_eq!(read, expected);
    assert!(spots[0].left() > LONG / 2);
    let free: Vec<_> = spots.iter().map(Position::is_free).collect();
    assert_eq!(free, [true, true, true, false, false]);
    assert!(environment.store().finish_all(&[]).unwrap().is_empty());
}

fn many_invalidations_say_of_each_whether_there_was_a_record(environment: &Environment) {
    let spots = ["filled", "absent", "filled too"].map(|id| Position::on(environment, id));
    spots[0].put(&record("0"), LONG);
    spots[2].put(&record("2"), LONG);
    let keys: Vec<_> = spots.iter().map(|position| &position.keys).collect();
    let done = environment.store().invalidate_all(&keys).unwrap();
    let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!(done, [true, false, true]);
    assert!(spots.iter().all(|position| !position.is_there()));
}

fn each_of_many_looks_says_how_long_its_record_lives(environment: &Environment) {
    let spots = ["long", "none", "longer"].map(|id| Position::on(environment, id));
    spots[0].put(&record("long"), LONG);
    spots[2].put(&record("longer"), 3 * LONG);
    let data: Vec<_> = spots
        .iter()
        .map(|position| position.keys.data.as_str())
        .collect();
    let looks = environment.store().read_all_with_ttl(&data).unwrap();
    let looks: Vec<_> = looks.into_iter().map(Result::unwrap).collect();
    let entries: Vec<_> = looks.iter().map(|(entry, _)| entry.clone()).collect();
    let there = |version| Entry::Record(record(version));
    assert_eq!(entries, [there("long"), Entry::Absent, there("longer")]);
    let left = |at: usize| looks[at].1.left();
    assert!(left(0).unwrap() <= LONG && left(2).unwrap() > 2 * LONG);
    assert_eq!(left(1), None);
    assert!(
        environment
            .store()
            .read_all_with_ttl(&[])
            .unwrap()
            .is_empty()
    );
}

fn each_of_many_refreshes_is_answered_by_itself_and_backs_off_by_itself(environment: &Environment) {
    let spots = ["due", "filled anew", "taken"].map(|id| Position::filled(environment, id));
    spots[1].put(&record("new"), 3 * LONG);
    spots[2].leased();
    let tokens = [(); 3].map(|()| Token::random());
    let due = spots
        .iter()
        .zip(tokens)
        .map(|(position, token)| RefreshRequest {
            keys: &position.keys,
            token,
            left: LONG,
        });
    let due: Vec<_> = due.collect();
    let answers = environment.store().refresh_all(&due, LONG).unwrap();
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let expected = [
        Refresh::Acquired(Floor::None),
        Refresh::Record(record("new")),
        Refresh::Taken,
    ];
    assert_eq!(answers, expected);

    let loads = spots
        .iter()
        .zip(tokens)
        .map(|(position, token)| Completion {
            keys: &position.keys,
            token,
            end: CompletionKind::BackOff(LONG),
        });
    let loads: Vec<_> = loads.collect();
    let finished = environment.store().finish_all(&loads).unwrap();
    let finished: Vec<_> = finished.into_iter().map(Result::unwrap).collect();
    assert_eq!(finished, [true, false, false]);
    let again = spots[0].refresh(Token::random(), LONG);
    assert_eq!(again, Refresh::Taken);
}

fn loads_that_found_nothing_changed_are_ended_with_others(environment: &Environment) {
    let spots = ["a", "b", "c"].map(|id| Position::filled(environment, id));
    let tokens = spots.each_ref().map(Position::leased);
    let new = record("new");
    let ends = [
        CompletionKind::Keep(LONG),
        CompletionKind::Fill(LONG, &new),
        CompletionKind::Keep(LONG),
    ];
    assert!(spots[2].invalidate());
    let loads = spots.iter().zip(tokens).zip(ends);
    let loads: Vec<_> = loads
        .map(|((position, token), end)| Completion {
            keys: &position.keys,
            token,
            end,
        })
        .collect();
    let finished = environment.store().finish_all(&loads).unwrap();
    let finished: Vec<_> = finished.into_iter().map(Result::unwrap).collect();
    assert_eq!(finished, [true, true, false]);
    assert_eq!(spots[0].read(), Entry::Record(record("first")));
    assert_eq!(spots[1].read(), Entry::Record(new));
    assert!(!spots[2].is_there());
}

/// More than the buffers between client and server hold, in both directions.
fn many_large_records_pass(environment: &Environment) {
    const COUNT: usize = 600;
    let spots: Vec<_> = (0..COUNT)
        .map(|id| Position::on(environment, &format!("{id}")))
        .collect();
    let large = |at: usize| {
        let byte = u8::try_from(at % 251).unwrap();
        vec![(b"photo".to_vec(), vec![byte; 100_000])]
    };
    let records: Vec<_> = (0..COUNT).map(large).collect();
    let tokens: Vec<_> = spots.iter().map(|_| Token::random()).collect();
    let store = environment.store();
    let questions = ask(&spots, &tokens, |_| Recheck::Always);
    let answers = store.acquire_all(&questions, LONG).unwrap();
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == Acquire::Acquired(Floor::None))
    );
    let loads: Vec<_> = (0..COUNT)
        .map(|at| Completion {
            keys: &spots[at].keys,
            token: tokens[at],
            end: CompletionKind::Fill(LONG, &records[at]),
        })
        .collect();
    let finished = store.finish_all(&loads).unwrap();
    assert!(finished.into_iter().all(Result::unwrap));
    let data: Vec<_> = spots
        .iter()
        .map(|position| position.keys.data.as_str())
        .collect();
    let read = store.read_all(&data).unwrap();
    for (at, entry) in read.into_iter().enumerate() {
        assert!(entry.unwrap() == Entry::Record(large(at)), "{at}");
    }
    // Acquire returns them too.
    let again = store.acquire_all(&questions, LONG).unwrap();
    for (at, answer) in again.into_iter().enumerate() {
        assert!(answer.unwrap() == Acquire::Record(large(at)), "{at}");
    }
}

on_both_stores! {
    loads_that_found_nothing_changed_are_ended_with_others,
    each_of_many_reads_is_a_read_of_its_own,
    each_of_many_questions_is_answered_by_itself,
    each_of_many_loads_is_finished_under_its_own_token,
    many_invalidations_say_of_each_whether_there_was_a_record,
    each_of_many_looks_says_how_long_its_record_lives,
    each_of_many_refreshes_is_answered_by_itself_and_backs_off_by_itself,
    many_large_records_pass,
}
