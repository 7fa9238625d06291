//! Tests of the identity of a fill.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A look that took a millisecond.
fn fill(began: Instant, left: Option<Duration>, value: &str) -> CachedFill<()> {
    CachedFill {
        entry: vec![(b"name".to_vec(), value.into())],
        record: None,
        left,
        began,
        ended: began + MS,
    }
}

#[test]
fn a_fill_is_the_same_if_as_much_of_its_ttl_has_passed_as_of_the_time() {
    let began = Instant::now();
    let first = fill(began, Some(30 * SECOND), "a");
    let is_same = |left, value| first.is_same_fill(&fill(began + 5 * SECOND, left, value));
    assert!(is_same(Some(25 * SECOND), "a"));
    assert!(is_same(Some(25 * SECOND + 5 * MS), "a"));
    assert!(!is_same(Some(25 * SECOND), "b"));
    // Filled again, or kept, or its TTL was shortened.
    for left in [26 * SECOND, 30 * SECOND, 24 * SECOND, SECOND] {
        assert!(!is_same(Some(left), "a"), "{left:?}");
    }
    assert!(!is_same(None, "a"));
}

#[test]
fn an_entry_of_another_program_without_a_ttl_is_the_same_if_its_fields_are() {
    let began = Instant::now();
    let is_same =
        |left, value| fill(began, None, "a").is_same_fill(&fill(began + 5 * SECOND, left, value));
    assert!(is_same(None, "a") && !is_same(None, "b") && !is_same(Some(SECOND), "a"));
}
