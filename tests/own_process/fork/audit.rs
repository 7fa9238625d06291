//! A cache with an audit: a child compares its own hits, on a thread of its own.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Audit, Cache};

use super::{builder, pool, record, value};
use crate::{
    forked,
    support::{Server, until},
};

/// Hits a record that differs from the primary, and waits for the report.
fn find_one(cache: &Cache, id: &str) {
    for _ in 0..2 {
        assert_eq!(value(cache, id, "cached"), "cached");
    }
    until(|| cache.stats().inconsistencies == 1);
    assert_eq!(cache.stats().audits, 1);
}

#[test]
fn parent_and_child_audit_their_own_hits() {
    own_process!();
    let server = Server::start();
    // In a process of its own, which has sent no request before it forks.
    forked::run(|| {
        let redis = pool(&server).build().unwrap();
        let audit = Audit::new(|_: &str| Ok::<_, Infallible>(Some(record("of the primary"))));
        let audit = audit.rate(1.0).delay(Duration::from_millis(1));
        let cache = builder(&redis).audit(audit).build().unwrap();
        forked::run(|| find_one(&cache, "p-1"));
        find_one(&cache, "p-2");
    });
}
