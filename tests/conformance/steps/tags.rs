//! Tags: their clock, its values in entries and leases, and the end of all that is older.

use std::{sync::mpsc, time::Instant};

use super::*;
use cache_aside::store::{
    AcquireRequest, ChangeListener, TAG_CLOCK_FIELD, TagBounds, TagClock, TagKeys, TagValues,
    TaggedStore, WriteThrough,
};

fn tag_keys(tags: &[&str]) -> TagKeys {
    TagKeys::of("test", tags).unwrap()
}

/// Tags of one namespace on a store.
struct Tags<'a>(&'a Environment);

impl Tags<'_> {
    fn store(&self) -> &dyn TaggedStore {
        self.0.store().tagged().expect("it keeps tags")
    }

    fn read_for(&self, tags: &[&str], life: Duration) -> TagValues {
        self.store().read_tags(&tag_keys(tags), life).unwrap()
    }

    fn read(&self, tags: &[&str]) -> TagValues {
        self.read_for(tags, LONG)
    }

    fn clock(&self) -> TagClock {
        self.read(&[]).clock
    }

    fn end_for(&self, tags: &[&str], life: Duration, lag: Option<Duration>) {
        let store = self.store();
        store.invalidate_tags(&tag_keys(tags), life, lag).unwrap();
    }

    fn end(&self, tags: &[&str]) {
        self.end_for(tags, LONG, None);
    }

    fn keep(&self, tags: &[&str], life: Duration) {
        self.store().keep_tags(&tag_keys(tags), life).unwrap();
    }
}

/// A lookup of the record `k` that knows its tags.
fn lookup(environment: &Environment, tags: &[&str]) -> Position {
    with_bounds(environment, Tags(environment).read(tags).bounds())
}

/// One that knows only the clock.
fn lookup_with_unknown_tags(environment: &Environment) -> Position {
    with_bounds(environment, all_but_known(&Tags(environment).read(&[])))
}

/// The bounds of a lookup that may get further tags than these.
fn all_but_known(values: &TagValues) -> TagBounds {
    TagBounds {
        oldest: values.clock,
        ..values.bounds()
    }
}

fn with_bounds(environment: &Environment, bounds: TagBounds) -> Position {
    let position = Position::on(environment, "k");
    let keys = position.keys.clone().under_tags(bounds);
    Position { keys, ..position }
}

impl Position {
    /// A record with the clock of this lookup.
    fn tagged_record(&self, version: &str) -> Fields {
        let mut fields = record(version);
        let clock = self.keys.tags.expect("a lookup under tags").clock;
        fields.push((TAG_CLOCK_FIELD.into(), clock.to_string().into()));
        fields
    }

    /// Loads a record.
    fn load(&self, version: &str) -> Fields {
        let record = self.tagged_record(version);
        let token = Token::random();
        let answer = self.acquire(token);
        assert_eq!(answer, Acquire::Acquired(Floor::None));
        assert!(self.fill_for(token, &record, LONG));
        record
    }

    /// The token of the load that this lookup waits for.
    fn joins(&self) -> Option<Token> {
        match self.ask() {
            Acquire::Held { by, .. } => by,
            other => panic!("no load is under way: {other:?}"),
        }
    }
}

fn a_missing_clock_begins_an_epoch_whose_value_missing_tags_get(environment: &Environment) {
    let tags = Tags(environment);
    let first = tags.read(&["a", "b"]);
    assert_eq!(first.tags, [first.clock, first.clock]);
    assert!(!first.has_floor);
    assert_eq!(tags.read(&["a", "b"]), first);
    assert_eq!(tags.read(&["c"]).tags, [first.clock]);
    assert_eq!(tags.clock(), first.clock);
}

fn an_invalidation_advances_the_clock_and_its_tags(environment: &Environment) {
    let tags = Tags(environment);
    let before = tags.read(&["a", "b", "c"]);
    tags.end(&["a", "b"]);
    let after = tags.read(&["a", "b", "c"]);
    assert!(after.clock.covers(before.clock) && !before.clock.covers(after.clock));
    assert_eq!(after.tags, [after.clock, after.clock, before.clock]);
    assert_eq!(after.newest(), after.clock);
    tags.end(&["c"]);
    assert!(!after.clock.covers(tags.read(&["c"]).newest()));
    assert!(after.clock.covers(tags.read(&["a", "b"]).newest()));
}

fn a_tag_may_be_invalidated_before_anyone_has_read_it(environment: &Environment) {
    let tags = Tags(environment);
    tags.end(&["a"]);
    let values = tags.read(&["a", "b"]);
    assert_eq!(values.tags, [values.clock, values.clock]);
}

fn namespaces_are_apart(environment: &Environment) {
    let tags = Tags(environment);
    let other = TagKeys::of("other", &["a"]).unwrap();
    let before = tags.store().read_tags(&other, LONG).unwrap();
    let own = tags.read(&["a"]);
    assert!(!own.clock.has_epoch_of(before.clock));
    tags.end(&["a"]);
    assert_eq!(tags.store().read_tags(&other, LONG).unwrap(), before);
}

/// Nothing that was loaded before the latest invalidation is good, and what was loaded since is.
fn a_tag_that_is_missing_has_the_value_of_the_clock(environment: &Environment) {
    let tags = Tags(environment);
    let clock = tags.clock();
    tags.end_for(&["a"], BRIEF, None);
    wait_out(BRIEF);
    let after = tags.read(&["a"]);
    assert!(!clock.covers(after.newest()));
    assert_eq!(after.newest(), after.clock);
}

fn a_clock_that_is_missing_begins_another_epoch(environment: &Environment) {
    let tags = Tags(environment);
    let before = tags.read_for(&["a"], BRIEF);
    tags.keep(&["a"], BRIEF);
    wait_out(BRIEF);
    let after = tags.read(&["a"]);
    assert!(!after.clock.has_epoch_of(before.clock));
    assert_eq!(after.tags, [after.clock]);
}

fn a_life_is_lengthened_and_never_shortened(environment: &Environment) {
    let tags = Tags(environment);
    tags.read_for(&["a"], BRIEF);
    tags.keep(&["a"], LONG);
    let before = tags.read_for(&["a", "b"], BRIEF);
    tags.keep(&["a"], BRIEF);
    tags.end_for(&["a"], BRIEF, None);
    wait_out(BRIEF);
    let after = tags.read(&["a"]);
    assert!(after.clock.has_epoch_of(before.clock));
    assert!(!before.clock.covers(after.clock));
    tags.end(&["c"]);
    let last = tags.read(&["a", "b"]);
    assert_eq!(last.tags, [after.clock, last.clock], "`b` has lapsed");
}

fn an_entry_is_read_beside_its_tags(environment: &Environment) {
    let tags = Tags(environment);
    let keys = tag_keys(&["a"]);
    let data = "test:k";
    let read = |with_ttl| {
        let read = tags.store().read_under_tags(data, with_ttl, &keys, LONG);
        read.unwrap()
    };
    let (entry, left, values) = read(true);
    assert_eq!((entry, left), (Entry::Absent, TtlRemaining::NoSuchKey));
    assert_eq!(values, tags.read(&["a"]));
    let record = lookup(environment, &["a"]).load("first");
    for with_ttl in [false, true] {
        let (entry, left, values) = read(with_ttl);
        assert_eq!(entry, Entry::Record(record.clone()));
        assert_eq!(left.left().is_some(), with_ttl, "{left:?}");
        assert_eq!(values, tags.read(&["a"]));
    }
}

fn an_invalidation_leaves_a_floor_for_the_lag(environment: &Environment) {
    let tags = Tags(environment);
    tags.end(&["a"]);
    assert!(!tags.read(&["a"]).has_floor);
    let end = || tags.end_for(&["a"], LONG, Some(BRIEF));
    // It is for all tags of the namespace.
    lasts(BRIEF, end, || tags.read(&["b"]).has_floor);
    tags.end_for(&["a"], LONG, Some(LONG));
    tags.end_for(&["a"], LONG, Some(BRIEF));
    tags.end(&["a"]);
    wait_out(BRIEF);
    assert!(tags.read(&[]).has_floor);
}

fn a_record_from_before_an_invalidation_is_not_returned(environment: &Environment) {
    let record = lookup(environment, &["a", "b"]).load("first");
    let again = lookup(environment, &["a"]);
    assert_eq!(
        again.acquire(Token::random()),
        Acquire::Record(record.clone())
    );
    Tags(environment).end(&["a"]);
    // Only the lookup that began before the end gets it, and one with other tags.
    for older in [again, lookup(environment, &["b"])] {
        let answer = older.acquire(Token::random());
        assert_eq!(answer, Acquire::Record(record.clone()));
    }
    let fresh = lookup(environment, &["b", "a"]).load("second");
    let answer = lookup(environment, &["a"]).acquire(Token::random());
    assert_eq!(answer, Acquire::Record(fresh));
}

fn a_lookup_that_does_not_know_its_tags_gets_no_record_from_before_any(environment: &Environment) {
    let first = lookup_with_unknown_tags(environment).load("first");
    let again = lookup_with_unknown_tags(environment);
    assert_eq!(again.acquire(Token::random()), Acquire::Record(first));
    Tags(environment).end(&["another"]);
    lookup_with_unknown_tags(environment).load("second");
}

fn a_record_without_a_clock_is_not_returned_under_tags(environment: &Environment) {
    Position::filled(environment, "k");
    lookup(environment, &["a"]).load("second");
}

fn a_load_is_joined_unless_a_tag_is_newer(environment: &Environment) {
    let leader = lookup(environment, &["a"]);
    let token = leader.leased();
    assert_eq!(lookup(environment, &["a"]).joins(), Some(token));
    assert_eq!(lookup(environment, &[]).joins(), Some(token));
    assert_eq!(lookup_with_unknown_tags(environment).joins(), Some(token));
    Tags(environment).end(&["b"]);
    assert_eq!(lookup(environment, &["a"]).joins(), Some(token));
    Tags(environment).end(&["a"]);
    // A lookup from before the end joins it still.
    assert_eq!(leader.joins(), Some(token));

    let next = lookup(environment, &["a"]);
    let second = next.leased();
    assert_eq!(lookup(environment, &["a"]).joins(), Some(second));
    assert_eq!(leader.joins(), Some(second), "it is newer");
    assert!(!leader.fill(token), "its lease was replaced");
    assert!(!leader.is_there());
    assert!(next.fill(second));
}

fn a_load_is_joined_without_the_tags_only_while_nothing_is_invalidated(environment: &Environment) {
    let leader = lookup(environment, &["a"]);
    let first = leader.leased();
    assert_eq!(lookup_with_unknown_tags(environment).joins(), Some(first));
    Tags(environment).end(&["another"]);
    assert_eq!(lookup(environment, &["a"]).joins(), Some(first));
    let answer = lookup_with_unknown_tags(environment).acquire(Token::random());
    let beside = Acquire::Guarded {
        nonce: first,
        floor: Floor::None,
    };
    assert_eq!(answer, beside);
    assert!(leader.fill(first), "its lease stays");
}

/// A load that is too old for a tag that the lookup knows is so for all lookups with this tag.
fn a_load_is_replaced_if_a_known_tag_is_newer(environment: &Environment) {
    let leader = lookup(environment, &["a"]);
    let first = leader.leased();
    Tags(environment).end(&["a"]);
    let bounds = all_but_known(&Tags(environment).read(&["a"]));
    let next = with_bounds(environment, bounds);
    let second = next.leased();
    assert!(!leader.fill(first));
    assert!(next.fill(second));
}

fn a_load_of_another_epoch_is_not_joined(environment: &Environment) {
    let other = TagKeys::of("other", &["a"]).unwrap();
    let tags = Tags(environment);
    let other = tags.store().read_tags(&other, LONG).unwrap();
    let leader = with_bounds(environment, other.bounds());
    let token = leader.leased();
    let next = lookup(environment, &["a"]).leased();
    assert!(!leader.fill(token));
    assert_ne!(next, token);
}

/// The load of a program without tags.
fn a_load_without_a_clock_is_not_joined_under_tags(environment: &Environment) {
    let plain = Position::on(environment, "k");
    let token = plain.leased();
    let next = lookup(environment, &["a"]).leased();
    assert!(!plain.fill(token));
    assert_ne!(next, token);
}

fn a_caller_without_tags_waits_for_a_load_under_tags_and_does_not_share_it(
    environment: &Environment,
) {
    let leader = lookup(environment, &["a"]);
    let token = leader.leased();
    let plain = Position::on(environment, "k");
    let Acquire::Held { by, left } = plain.ask() else {
        panic!("a load is under way");
    };
    assert_eq!(by, None);
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    assert!(leader.fill(token));
}

fn a_lease_that_is_renewed_keeps_its_clock(environment: &Environment) {
    let leader = lookup(environment, &["a"]);
    for ttl in [LONG, 2 * LONG] {
        let token = leader.leased();
        assert!(leader.renew(token, ttl));
        assert_eq!(lookup(environment, &["a"]).joins(), Some(token));
        assert!(leader.release(token));
    }
}

fn a_refresh_has_a_clock_and_replaces_no_load(environment: &Environment) {
    let first = lookup(environment, &["a"]);
    first.load("first");
    let token = Token::random();
    assert_eq!(first.refresh(token, LONG), Refresh::Acquired(Floor::None));
    assert_eq!(lookup(environment, &["a"]).joins(), Some(token));
    Tags(environment).end(&["a"]);
    let next = lookup(environment, &["a"]);
    assert_eq!(next.refresh(Token::random(), LONG), Refresh::Taken);
    assert!(next.renew(token, 2 * LONG) && first.back_off(token, LONG));
    assert_eq!(next.refresh(Token::random(), LONG), Refresh::Taken);
    next.load("second");
}

/// As if it had been loaded again, which it was.
fn a_record_that_is_kept_has_the_clock_of_the_load(environment: &Environment) {
    let first = lookup(environment, &["a"]);
    first.load("first");
    Tags(environment).end(&["b"]);
    let next = lookup(environment, &["a"]);
    let token = Token::random();
    assert_eq!(next.refresh(token, LONG), Refresh::Acquired(Floor::None));
    assert!(next.keep(token, LONG));
    let again = lookup_with_unknown_tags(environment);
    let kept = Acquire::Record(next.tagged_record("first"));
    assert_eq!(again.acquire(Token::random()), kept);
    assert!(!next.keep(token, LONG), "its lease has ended");

    assert!(next.invalidate());
    let token = next.leased();
    assert!(
        !next.keep(token, LONG) && !next.is_there(),
        "no clock without a record"
    );
}

fn a_guard_is_the_same_under_tags(environment: &Environment) {
    let position = lookup(environment, &["a"]);
    position.guard(Token::random(), LONG);
    let nonce = position.nonce();
    Tags(environment).end(&["a"]);
    assert_eq!(lookup(environment, &["a"]).nonce(), nonce);
}

fn an_entry_that_is_updated_or_expired_keeps_its_clock(environment: &Environment) {
    let position = lookup(environment, &["a"]);
    position.load("first");
    assert_eq!(position.update_field("version", "second"), Update::Changed);
    assert!(position.expire(LONG / 2));
    let expected = Acquire::Record(position.tagged_record("second"));
    assert_eq!(position.acquire(Token::random()), expected);
    Tags(environment).end(&["a"]);
    lookup(environment, &["a"]).load("third");
}

/// It gets the clock from before the write.
fn a_record_that_is_written_through_is_as_old_as_its_write(environment: &Environment) {
    let tags = Tags(environment);
    let write = |meanwhile: &dyn Fn()| {
        let (position, writer) = (Position::on(environment, "k"), Token::random());
        let versioned = environment.store().versioned().unwrap();
        let guarded = versioned.guard_with_nonce(&position.keys, writer, LONG);
        let (nonce, values) = (guarded.unwrap(), tags.read(&["a"]));
        assert_eq!(position.nonce(), nonce);
        meanwhile();
        let position = with_bounds(environment, values.bounds());
        let (record, ttl) = (position.tagged_record("through"), LONG);
        let through = WriteThrough {
            nonce,
            ttl,
            record: &record,
        };
        let ended = versioned.write_through(&position.keys, writer, Some(through), None);
        assert!(
            ended.unwrap(),
            "the invalidation of a tag gives no guard a new nonce"
        );
        record
    };
    let record = write(&|| ());
    let answer = lookup(environment, &["a"]).acquire(Token::random());
    assert_eq!(answer, Acquire::Record(record));
    write(&|| tags.end(&["a"]));
    lookup(environment, &["a"]).load("second");
}

fn each_of_many_requests_has_its_own_tags(environment: &Environment) {
    let tags = Tags(environment);
    let older = tags.read(&["b"]).clock;
    let before = ["one", "two"].map(|id| {
        let bounds = TagBounds {
            clock: older,
            oldest: older,
            known: older,
        };
        let keys = keys(id).under_tags(bounds);
        Position {
            keys,
            ..Position::on(environment, id)
        }
    });
    let tokens = [before[0].leased(), before[1].leased()];
    tags.end(&["a"]);
    let bounds = ["a", "b"].map(|tag| tags.read(&[tag]).bounds());
    let keys = ["one", "two"].map(|id| keys(id).under_tags(bounds[usize::from(id == "two")]));
    let next = [Token::random(), Token::random()];
    let requests = [0, 1].map(|at| AcquireRequest {
        keys: &keys[at],
        token: next[at],
        recheck: Recheck::Always,
    });
    let answers = environment.store().acquire_all(&requests, LONG).unwrap();
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers[0], Acquire::Acquired(Floor::None));
    assert!(matches!(answers[1], Acquire::Held { by: Some(by), .. } if by == tokens[1]));
}

/// A near cache needs it.
fn an_invalidation_is_reported_to_who_tracks_the_tags(environment: &Environment) {
    struct Listener(mpsc::Sender<Option<String>>);

    impl ChangeListener for Listener {
        fn on_confirmed(&self, _: Instant) {
            let _ = self.0.send(None);
        }
        fn on_change(&self, key: &str) {
            let _ = self.0.send(Some(key.to_owned()));
        }
        fn on_lease_change(&self, _: &str) {}
        fn on_flush(&self) {}
        fn on_disconnect(&self) {}
    }

    let (sender, told) = mpsc::channel();
    let listener = Arc::new(Listener(sender));
    let tags = Tags(environment);
    tags.read(&["a"]);
    let store = environment.store();
    let _subscription = store.track("tags:{test}", LONG, listener).unwrap();
    let next = || told.recv_timeout(Duration::from_secs(30)).unwrap();
    while next().is_some() {}
    tags.end(&["a"]);
    let is_it = |key: Option<String>| key.as_ref() == tag_keys(&["a"]).tags.first();
    while !is_it(next()) {}
}

on_both_stores! {
    a_missing_clock_begins_an_epoch_whose_value_missing_tags_get,
    an_invalidation_advances_the_clock_and_its_tags,
    a_tag_may_be_invalidated_before_anyone_has_read_it,
    namespaces_are_apart,
    a_tag_that_is_missing_has_the_value_of_the_clock,
    a_clock_that_is_missing_begins_another_epoch,
    a_life_is_lengthened_and_never_shortened,
    an_entry_is_read_beside_its_tags,
    an_invalidation_leaves_a_floor_for_the_lag,
    a_record_from_before_an_invalidation_is_not_returned,
    a_lookup_that_does_not_know_its_tags_gets_no_record_from_before_any,
    a_record_without_a_clock_is_not_returned_under_tags,
    a_load_is_joined_unless_a_tag_is_newer,
    a_load_is_joined_without_the_tags_only_while_nothing_is_invalidated,
    a_load_is_replaced_if_a_known_tag_is_newer,
    a_load_of_another_epoch_is_not_joined,
    a_load_without_a_clock_is_not_joined_under_tags,
    a_caller_without_tags_waits_for_a_load_under_tags_and_does_not_share_it,
    a_lease_that_is_renewed_keeps_its_clock,
    a_refresh_has_a_clock_and_replaces_no_load,
    a_record_that_is_kept_has_the_clock_of_the_load,
    a_guard_is_the_same_under_tags,
    an_entry_that_is_updated_or_expired_keeps_its_clock,
    a_record_that_is_written_through_is_as_old_as_its_write,
    each_of_many_requests_has_its_own_tags,
    an_invalidation_is_reported_to_who_tracks_the_tags,
}
