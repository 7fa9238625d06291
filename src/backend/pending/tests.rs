//! How long pending invalidations stay, and which keys they cover.

use super::*;

fn keys(data: &str) -> Keys {
    Keys::of(data.to_owned())
}

fn remember(pending: &PendingInvalidations, data: &str) -> Recorded {
    pending.record_max_ttl("cache:", Duration::from_millis(20));
    pending.remember(
        &keys(data),
        "cache:",
        &Arc::new(Reporter::new(
            "products".to_owned(),
            "cache:".to_owned(),
            None,
        )),
    )
}

#[test]
fn a_key_is_pending_until_it_is_completed() {
    let pending = PendingInvalidations::default();
    assert_eq!(remember(&pending, "cache:a"), Recorded::First);
    assert_eq!(remember(&pending, "cache:b"), Recorded::Kept);
    assert!(pending.why("cache:a").is_some() && pending.why("cache:c").is_none());
    pending.complete(&pending.of(&keys("cache:a")).unwrap());
    assert!(pending.why("cache:a").is_none() && pending.why("cache:b").is_some());
    assert_eq!(pending.len(), 1);
}

/// A request completes no write that failed after the request was sent.
#[test]
fn an_invalidation_remembered_during_a_replay_stays() {
    let pending = PendingInvalidations::default();
    remember(&pending, "cache:a");
    let replay = pending.all().remove(0);
    remember(&pending, "cache:a");
    pending.complete(&replay);
    assert!(pending.why("cache:a").is_some());
}

/// Two caches have the same prefix. The entries of one live longer, or are filled during the
/// bypass.
#[test]
fn a_bypass_lasts_as_long_as_any_entry_that_a_cache_may_have_written() {
    for (sooner, later) in [(60_000, 1), (1, 60_000)] {
        let pending = PendingInvalidations::default();
        let life = |millis| pending.record_max_ttl("cache:", Duration::from_millis(millis));
        life(sooner);
        let overflow = remember(&pending, &"x".repeat(MAX_BYTES + 1));
        assert!(matches!(overflow, Recorded::Prefix(_)));
        life(later);
        std::thread::sleep(Duration::from_millis(25));
        assert!(pending.why("cache:a").is_some());
    }
}

#[test]
fn a_bypassed_prefix_covers_all_its_keys_for_as_long_as_an_entry_can_live() {
    let pending = PendingInvalidations::default();
    pending.record_max_ttl("cache:", Duration::from_millis(20));
    assert_eq!(pending.bypass("cache:"), Some(Duration::from_millis(20)));
    assert_eq!(pending.bypass("cache:"), None);
    assert_eq!(pending.why("cache:a"), Some(PendingError::Clear));
    assert_eq!(pending.why("other:a"), None);
    std::thread::sleep(Duration::from_millis(25));
    assert!(pending.why("cache:a").is_none());
}

#[test]
fn a_completed_invalidation_leaves_room() {
    let pending = PendingInvalidations::default();
    let long = "x".repeat(MAX_BYTES);
    for _ in 0..3 {
        assert_eq!(remember(&pending, &long), Recorded::First);
        pending.complete(&pending.all().remove(0));
    }
}

#[test]
fn past_the_bound_a_prefix_is_bypassed_for_as_long_as_an_entry_can_live() {
    let pending = PendingInvalidations::default();
    for id in 0..MAX_KEYS {
        remember(&pending, &format!("cache:{id}"));
    }
    assert_eq!(remember(&pending, "cache:0"), Recorded::Again);
    let life = Duration::from_millis(20);
    assert_eq!(remember(&pending, "cache:more"), Recorded::Prefix(life));
    assert_eq!(remember(&pending, "cache:more"), Recorded::PrefixKept);
    assert_eq!(pending.why("cache:0"), Some(PendingError::Record));
    assert_eq!(pending.why("cache:anything"), Some(PendingError::TooMany));
    assert_eq!(pending.why("another"), None);
    let long = "x".repeat(MAX_BYTES + 1);
    assert_eq!(
        remember(&PendingInvalidations::default(), &long),
        Recorded::Prefix(life)
    );
    std::thread::sleep(Duration::from_millis(25));
    assert!(pending.why("cache:anything").is_none() && pending.why("cache:0").is_some());
}

fn tag(name: &str) -> TagEnding {
    TagEnding {
        keys: crate::store::TagKeys::of("cache", &[name]).unwrap(),
        life: Duration::from_secs(60),
        lag: None,
    }
}

fn remember_tag(pending: &PendingInvalidations, name: &str) -> Recorded {
    let reporter = Reporter::new("products".to_owned(), "cache:".to_owned(), None);
    pending.remember_tag(&tag(name), &Arc::new(reporter))
}

#[test]
fn a_tag_is_pending_until_it_is_completed() {
    let pending = PendingInvalidations::default();
    assert_eq!(remember_tag(&pending, "a"), Recorded::First);
    assert_eq!(remember_tag(&pending, "a"), Recorded::Again);
    assert_eq!(tag("a").name(), "a");
    let why = |name: &str, any| pending.why_tags(&tag(name).keys, any);
    assert!(why("a", false).is_some() && why("b", false).is_none());
    assert!(why("b", true).is_some(), "the loader may name `a`");
    let elsewhere = crate::store::TagKeys::of("other", &["a"]).unwrap();
    assert!(pending.why_tags(&elsewhere, true).is_none());
    pending.complete(&pending.of_key(tag("a").key()).unwrap());
    assert!(why("a", false).is_none() && why("b", true).is_none());
    assert_eq!(pending.len(), 0);
}

#[test]
fn too_many_pending_tags_bypass_their_namespace() {
    let pending = PendingInvalidations::default();
    let life = Duration::from_secs(600);
    pending.record_max_ttl(&tag("a").keys.prefix(), life);
    for number in 0..MAX_KEYS {
        remember_tag(&pending, &number.to_string());
    }
    assert_eq!(remember_tag(&pending, "a"), Recorded::Prefix(life));
    let others = crate::store::TagKeys::of("other", &["a"]).unwrap();
    assert!(pending.why_tags(&tag("b").keys, false).is_some());
    assert!(pending.why_tags(&others, false).is_none());
}
