//! The fence and the epochs: no record that was read before an eviction is found after it.

use super::*;

const LONG: Duration = Duration::from_secs(600);

struct Both {
    near: Near,
    liveness: StreamLiveness,
}

fn both(capacity: usize, longest: Duration) -> Both {
    let liveness = StreamLiveness::new();
    liveness.confirm(Instant::now() + LONG);
    let near = Near::new(capacity, longest);
    Both { near, liveness }
}

impl Both {
    fn find(&self, id: &str) -> Result<u32, Option<Placeholder<'_>>> {
        let found = self
            .near
            .find(&self.liveness, id, Instant::now(), Accepts::Any, None);
        found.map(|record| *record.expect("a record").get::<u32>())
    }

    fn placeholder(&self, id: &str) -> Option<Placeholder<'_>> {
        match self.find(id) {
            Ok(there) => panic!("{there} is there"),
            Err(placeholder) => placeholder,
        }
    }

    fn put(&self, id: &str, record: u32) {
        let placeholder = self.placeholder(id).expect("a free placeholder");
        placeholder.fill(Some(AnyRecord::new(record)), LONG, Duration::ZERO);
    }

    fn has(&self, id: &str) -> bool {
        self.find(id).is_ok()
    }
}

/// Reader: placeholder, read (old) — writer: evict — reader: fill.
#[test]
fn a_record_that_was_read_before_an_eviction_does_not_enter_after_it() {
    let both = both(100, LONG);
    let placeholder = both.placeholder("k").unwrap();
    both.near.evict("k");
    placeholder.fill(Some(AnyRecord::new(1_u32)), LONG, Duration::ZERO);
    assert!(!both.has("k"));
    // Nor does it enter through the placeholder of a later reader.
    let old = both.placeholder("k").unwrap();
    both.near.evict("k");
    let new = both.placeholder("k").unwrap();
    old.fill(Some(AnyRecord::new(1_u32)), LONG, Duration::ZERO);
    assert!(!both.has("k"));
    new.fill(Some(AnyRecord::new(2_u32)), LONG, Duration::ZERO);
    assert_eq!(both.find("k").ok(), Some(2));
}

/// Reader: placeholder, read (old) — stream lost, then live again, changes in between missed —
/// reader: fill.
#[test]
fn a_record_that_was_read_before_a_loss_is_not_used_after_it() {
    let both = both(100, LONG);
    both.put("there", 1);
    let placeholder = both.placeholder("k").unwrap();
    both.liveness.disconnect();
    assert!(!both.has("there"));
    both.liveness.confirm(Instant::now() + LONG);
    placeholder.fill(Some(AnyRecord::new(1_u32)), LONG, Duration::ZERO);
    assert!(!both.has("k") && !both.has("there"));
    // The reservation is free again.
    both.put("k", 2);
    both.put("there", 2);
    assert!(both.has("k") && both.has("there"));
}

/// The same if a flush of the store removed the placeholders and entries.
#[test]
fn a_record_that_was_read_before_a_flush_is_not_used_after_it() {
    let both = both(100, LONG);
    let placeholder = both.placeholder("k").unwrap();
    both.liveness.start_epoch();
    both.near.clear();
    placeholder.fill(Some(AnyRecord::new(1_u32)), LONG, Duration::ZERO);
    assert!(!both.has("k"));
    both.put("k", 2);
    assert!(both.has("k"));
}

#[test]
fn there_is_no_placeholder_while_the_stream_is_down() {
    let both = both(100, LONG);
    both.liveness.disconnect();
    assert!(both.placeholder("k").is_none());
    both.liveness.confirm(Instant::now());
    assert!(both.placeholder("k").is_none(), "that is over already");
}

#[test]
fn a_second_reader_gets_no_placeholder_and_a_dropped_one_is_free() {
    let both = both(100, LONG);
    let placeholder = both.placeholder("k");
    assert!(both.placeholder("k").is_none());
    drop(placeholder);
    assert!(both.placeholder("k").is_some());
}

#[test]
fn an_entry_ends_with_what_was_left_of_its_time_and_after_the_longest_at_the_latest() {
    let both = both(100, Duration::from_secs(5));
    let began = Instant::now();
    for (id, left) in [("brief", Duration::from_secs(1)), ("long", LONG)] {
        let placeholder = both
            .near
            .find(&both.liveness, id, began, Accepts::Any, None)
            .err()
            .flatten();
        placeholder
            .unwrap()
            .fill(Some(AnyRecord::new(1_u32)), left, Duration::ZERO);
    }
    let has = |id, after| {
        let at = began + Duration::from_millis(after);
        both.near
            .find(&both.liveness, id, at, Accepts::Any, None)
            .is_ok()
    };
    assert!(has("brief", 999) && !has("brief", 1000));
    assert!(has("long", 4999) && !has("long", 5000));
}

#[test]
fn a_lookup_that_wants_a_younger_record_finds_none_and_makes_room_for_it() {
    let both = both(100, LONG);
    let began = Instant::now();
    let find = |accepts| both.near.find(&both.liveness, "k", began, accepts, None);
    let second = Duration::from_secs(1);
    // Older than the clock of the near cache.
    let placeholder = find(Accepts::Any).err().flatten().unwrap();
    placeholder.fill(Some(AnyRecord::new(1_u32)), LONG, 10 * second);
    assert!(find(Accepts::Any).is_ok() && find(Accepts::UpTo(10 * second)).is_ok());
    let later = began + second;
    let later = |accepts| both.near.find(&both.liveness, "k", later, accepts, None);
    assert!(later(Accepts::UpTo(11 * second)).is_ok());
    let placeholder = later(Accepts::UpTo(10 * second)).err().flatten();
    placeholder
        .unwrap()
        .fill(Some(AnyRecord::new(2_u32)), LONG, Duration::ZERO);
    assert!(later(Accepts::UpTo(second)).is_ok());
    let placeholder = later(Accepts::Nothing).err().flatten();
    placeholder
        .unwrap()
        .fill(Some(AnyRecord::new(3_u32)), LONG, Duration::MAX);
    assert!(later(Accepts::Any).is_ok());
    assert!(later(Accepts::UpTo(10 * LONG)).is_err());
}

#[test]
fn it_holds_no_more_than_its_capacity_and_continues_to_insert() {
    for capacity in [1, 10, 5000] {
        let both = both(capacity, LONG);
        for id in 0..3 * capacity {
            both.put(&id.to_string(), 1);
        }
        assert!(both.near.kept.len() <= capacity);
        assert!(both.near.kept.len() > capacity / 2);
    }
}
