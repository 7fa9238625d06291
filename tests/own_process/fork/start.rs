//! Forks while the server has not been reached.

use cache_aside::Source;

use super::{builder, load, pool, value};
use crate::{
    forked,
    support::{Server, until, until_recovered},
};

#[test]
fn a_child_reaches_a_server_that_was_away_when_the_cache_was_built() {
    own_process!();
    let mut server = Server::start();
    server.kill();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    let is_degraded = || cache.get("p-1", load("1")).unwrap().source() == Source::Degraded;
    assert!(is_degraded());
    let child = forked::start(|| {
        assert!(is_degraded());
        assert!(cache.invalidate("p-1").is_err());
        until(|| !is_degraded());
        until_recovered(&cache);
        until(|| cache.stats().tracking_live);
        assert_eq!(value(&cache, "p-2", "2"), "2");
    });
    server.start_again();
    child.ends_well();
    until(|| !is_degraded());
}
