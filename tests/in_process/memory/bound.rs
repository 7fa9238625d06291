//! The bound of the store: a number of records, or of bytes, and never more.

use std::{sync::Arc, time::Duration};

use cache_aside::{
    Memory,
    store::{Acquire, Diff, Entry, Fields, Floor, Keys, Recheck, Store, Token, Update},
};

/// Nothing lapses by itself.
const LONG: Duration = Duration::from_secs(600);

fn keys(id: usize) -> Keys {
    Keys::of(format!("test:{id}"))
}

fn put(store: &Arc<dyn Store>, keys: &Keys, record: &Fields, ttl: Duration) {
    let token = Token::random();
    let answer = store.acquire(keys, token, LONG, Recheck::Never).unwrap();
    assert_eq!(answer, Acquire::Acquired(Floor::None));
    assert!(store.fill(keys, token, ttl, record).unwrap());
}

/// The change that sets one field.
fn set(name: &str, value: &[u8]) -> Diff {
    Diff {
        set: vec![(name.into(), value.to_vec())],
        removed: Vec::new(),
    }
}

fn read(store: &Arc<dyn Store>, keys: &Keys) -> Option<Fields> {
    match store.read(&keys.data).unwrap() {
        Entry::Record(fields) => Some(fields),
        _ => None,
    }
}

fn one_field(bytes: usize) -> Fields {
    vec![(b"value".to_vec(), vec![b'x'; bytes])]
}

/// The documented weight of a record.
fn weight(keys: &Keys, record: &Fields) -> usize {
    let field = |(name, value): &(Vec<u8>, Vec<u8>)| 64 + name.len() + value.len();
    160 + keys.data.len() + record.iter().map(field).sum::<usize>()
}

#[test]
fn no_more_records_are_kept_than_the_bound_says_and_most_of_it_is_used() {
    for most in [0, 1, 2, 10, 63, 1_000, 100_000] {
        let store = Memory::new(most).store();
        let record = one_field(1);
        let ids = 2 * most + 10;
        let live = || {
            let kept = |id: &usize| read(&store, &keys(*id)).is_some();
            (0..ids).filter(kept).count()
        };
        for id in 0..ids {
            put(&store, &keys(id), &record, LONG);
            // Also during the inserts, where that is cheap to check.
            assert!(most > 10 || live() <= most, "of {most}");
        }
        let live = live();
        assert!(live <= most, "{live} of {most}");
        assert!(live >= most * 9 / 10, "only {live} of {most}");
    }
}

#[test]
fn the_record_that_was_written_last_is_kept() {
    for most in [1, 2, 10, 1_000] {
        let store = Memory::new(most).store();
        for id in 0..3 * most {
            put(&store, &keys(id), &one_field(1), LONG);
            assert!(read(&store, &keys(id)).is_some(), "{id} of {most}");
        }
    }
}

#[test]
fn no_more_bytes_are_kept_than_the_bound_says_and_most_of_it_is_used() {
    for most in [1_000, 100_000, 1_000_000] {
        let store = Memory::with_max_bytes(most as u64).store();
        let ids = 3 * most / weight(&keys(0), &one_field(50));
        let live = || -> usize {
            let kept = |id| Some(weight(&keys(id), &read(&store, &keys(id))?));
            (0..ids).filter_map(kept).sum()
        };
        for id in 0..ids {
            put(&store, &keys(id), &one_field(id % 100), LONG);
        }
        let filled = live();
        assert!(filled <= most, "{filled} of {most}");
        assert!(filled >= most / 2, "only {filled} of {most}");

        // Records that grow in place: by a field, by an update.
        for id in 0..ids {
            let grown = vec![b'y'; 100];
            for name in ["value", "more"] {
                let grow = &mut |_| Some(set(name, &grown));
                store.update(&keys(id), None, grow).unwrap();
            }
            let live = || live() <= most;
            assert!(most > 100_000 || live(), "of {most}");
        }
        assert!(live() <= most, "{} of {most}", live());
    }
}

#[test]
fn a_record_over_an_eighth_of_the_bound_is_not_kept_and_the_old_one_is_gone() {
    let store = Memory::with_max_bytes(1 << 20).store();
    let (at, other) = (keys(1), keys(2));
    put(&store, &other, &one_field(10), LONG);
    put(&store, &at, &one_field(10), LONG);
    put(&store, &at, &one_field(1 << 17), LONG);
    assert_eq!(read(&store, &at), None);
    assert!(!store.invalidate(&at).unwrap());

    // Also where it has grown to this size.
    put(&store, &at, &one_field(10), LONG);
    let large = vec![b'x'; 1 << 17];
    let updated = store.update(&at, None, &mut |_| Some(set("value", &large)));
    let updated = updated.unwrap();
    assert_eq!(updated, Update::Changed);
    assert_eq!(read(&store, &at), None);
    assert!(read(&store, &other).is_some(), "nobody else had to go");

    put(&store, &at, &one_field(100 << 10), LONG);
    assert!(read(&store, &at).is_some(), "less than an eighth is kept");
}

#[test]
fn a_bound_that_no_machine_has_costs_nothing() {
    for memory in [Memory::new(usize::MAX), Memory::with_max_bytes(u64::MAX)] {
        let store = memory.store();
        for id in 0..1_000 {
            put(&store, &keys(id), &one_field(10), LONG);
        }
        let kept = |id: &usize| read(&store, &keys(*id)).is_some();
        assert_eq!((0..1_000).filter(kept).count(), 1_000);
    }
}

/// Leases and guards are not records: none is dropped for lack of room.
#[test]
fn the_bound_drops_no_lease_and_no_guard() {
    let store = Memory::new(1).store();
    let tokens: Vec<_> = (0..1_000).map(|_| Token::random()).collect();
    for (id, token) in tokens.iter().enumerate() {
        if id % 2 == 0 {
            store
                .acquire(&keys(id), *token, LONG, Recheck::Never)
                .unwrap();
        } else {
            store.guard(&keys(id), *token, LONG).unwrap();
        }
    }
    for (id, token) in tokens.iter().enumerate() {
        assert!(store.renew(&keys(id), *token, LONG).unwrap(), "{id}");
        let filled = store.fill(&keys(id), *token, LONG, &one_field(1));
        assert_eq!(filled.unwrap(), id % 2 == 0);
    }
}

#[test]
fn records_that_lapsed_make_room() {
    let store = Memory::new(1_000).store();
    let brief = Duration::from_millis(1);
    for id in 0..1_000 {
        put(&store, &keys(id), &one_field(1), brief);
    }
    std::thread::sleep(2 * brief);
    for id in 0..1_000 {
        assert_eq!(read(&store, &keys(id)), None);
    }
    for id in 1_000..1_900 {
        put(&store, &keys(id), &one_field(1), LONG);
    }
    let kept = |id: &usize| read(&store, &keys(*id)).is_some();
    let live = (1_000..1_900).filter(kept).count();
    assert!(live >= 850, "{live} of 900");
}
