//! Tags in memory where time passes and requests fail.

use std::time::Duration;

use cache_aside::{
    Memory,
    store::{Acquire, Keys, Recheck, TagKeys, TaggedStore, Token},
};

const SECOND: Duration = Duration::from_secs(1);

fn keys() -> TagKeys {
    TagKeys::of("test", &["a"]).unwrap()
}

#[test]
fn tags_and_leases_under_them_lapse_when_time_passes() {
    let memory = Memory::new(100);
    let store = memory.store();
    let tags = store.tagged().unwrap();
    let (short, long) = (10 * SECOND, 600 * SECOND);
    tags.invalidate_tags(&keys(), short, Some(short)).unwrap();
    let before = tags.read_tags(&keys(), long).unwrap();
    assert!(before.has_floor);
    let record = Keys::of("test:1".to_owned()).under_tags(before.bounds());
    let acquire = || {
        let recheck = Recheck::Always;
        let acquired = store.acquire(&record, Token::random(), short, recheck);
        matches!(acquired.unwrap(), Acquire::Acquired(_))
    };
    assert!(acquire() && !acquire());
    memory.advance(short);
    assert!(acquire());
    let after = tags.read_tags(&keys(), long).unwrap();
    assert!(!after.has_floor && !after.clock.has_epoch_of(before.clock));
}

/// Whether a step on tags succeeds.
type Step<'a> = &'a dyn Fn(&dyn TaggedStore) -> bool;

#[test]
fn each_step_on_tags_is_one_request_that_may_be_told_to_fail() {
    let memory = Memory::new(100);
    let store = memory.store();
    let tags = store.tagged().unwrap();
    let keys = keys();
    let record = Keys::of("test:1".to_owned());
    let steps: [Step<'_>; 4] = [
        &|tags| tags.read_tags(&keys, SECOND).is_ok(),
        &|tags| {
            tags.read_under_tags(&record.data, true, &keys, SECOND)
                .is_ok()
        },
        &|tags| tags.keep_tags(&keys, SECOND).is_ok(),
        &|tags| tags.invalidate_tags(&keys, SECOND, None).is_ok(),
    ];
    for step in steps {
        memory.fail_next(1);
        assert!(!step(tags));
        assert!(step(tags));
    }
}
