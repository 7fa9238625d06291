//! Failovers to another master.

use std::{
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use super::load::{Load, Seen};
use crate::{
    listeners,
    sentinel_set::{NAME, SentinelSet},
    support::{chain, load_loaf, until},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Longer than the pause and the request of the thread that asks the sentinels.
const SEEN_WITHIN: Duration = Duration::from_millis(1_500);

/// A failover, and its observed times.
struct Failover {
    seen: Seen,
    /// When the master was lost.
    gone: Instant,
    /// When all sentinels had a new master, and did not change it again.
    settled: Instant,
    /// Each sentinel switched once.
    is_single: bool,
}

impl Failover {
    /// Fails over to another master under load.
    fn of(
        cache: &Cache,
        set: &mut SentinelSet,
        go: fn(&mut SentinelSet),
        after: fn(&SentinelSet),
    ) -> Failover {
        let (mut gone, mut settled) = (Instant::now(), Instant::now());
        let mut switches = 0;
        let seen = Load::run(cache, || {
            thread::sleep(MS(500));
            gone = Instant::now();
            go(set);
            // They may consider the new one down as well. Then its acknowledged writes are lost
            // too.
            while switches != set.switches() || switches == 0 {
                set.wait_for_failover(0);
                switches = set.switches();
                settled = Instant::now();
                after(set);
            }
        });
        Failover {
            seen,
            gone,
            settled,
            is_single: switches == set.sentinels.len(),
        }
    }

    /// Redis may lose writes that the master acknowledged shortly before it was lost. If two were
    /// promoted in turn, or the first goes on working, this also covers writes until the last
    /// switch.
    fn report(&self, what: &str, is_by_hand: bool) {
        let Failover {
            seen,
            gone,
            settled,
            is_single,
        } = self;
        let is_clean = *is_single && !is_by_hand;
        let until = if is_clean {
            *gone + MS(100)
        } else {
            *settled + SEEN_WITHIN
        };
        let since = gone.checked_sub(MS(500)).unwrap_or(*gone);
        let stale = seen.stale_between(since, until);
        let recovered = seen.recovered(*gone);
        // In a manual failover the former master is down for a while, and with it a replica that is
        // waited for.
        assert!(recovered.is_some() || !is_clean, "no server answered");
        println!(
            "{what}: {} reads ({} degraded), {} writes ({} deferred), {stale} stale by what Redis lost{}; the sentinels took {:?}, a server had a record again after {:?}",
            seen.reads,
            seen.degraded,
            seen.writes,
            seen.deferred,
            if is_clean {
                ""
            } else {
                " (in more than one failover, or one by hand)"
            },
            *settled - *gone,
            recovered,
        );
    }
}

fn cache_of(set: &SentinelSet, near: bool) -> Cache {
    let builder = set.builder();
    let builder = if near {
        builder.near_cache(100)
    } else {
        builder
    };
    builder.build().unwrap()
}

/// The sentinels may take a while to demote the former master.
fn nothing_is_owed(cache: &Cache, set: &SentinelSet) {
    let began = Instant::now();
    while cache.stats().invalidations_pending != 0 {
        if began.elapsed() > MS(20_000) {
            let failed = cache.invalidate("after");
            panic!("{failed:?}\n{}", set.describe());
        }
        thread::sleep(MS(10));
    }
}

#[test]
fn a_killed_master_is_replaced_under_load() {
    for near in [false, true] {
        let mut set = SentinelSet::start();
        let cache = cache_of(&set, near);
        let go = |set: &mut SentinelSet| set.servers[0].kill();
        let failover = Failover::of(&cache, &mut set, go, |_| thread::sleep(MS(2_500)));
        let what = if near { "killed, near" } else { "killed" };
        failover.report(what, false);
        nothing_is_owed(&cache, &set);
        let hit = || cache.get("after", load_loaf).unwrap().source();
        until(|| matches!(hit(), Source::Hit | Source::Near));
    }
}

/// It goes on, and considers itself the master until a sentinel demotes it, after some eight
/// seconds.
#[test]
fn a_master_that_was_stopped_and_goes_on_is_not_read_from_again() {
    for near in [false, true] {
        let mut set = SentinelSet::start();
        let cache = cache_of(&set, near);
        let go = |set: &mut SentinelSet| set.servers[0].freeze();
        let failover = Failover::of(&cache, &mut set, go, |set| {
            thread::sleep(SEEN_WITHIN);
            set.servers[0].thaw();
            thread::sleep(MS(3_000));
        });
        let what = if near { "stopped, near" } else { "stopped" };
        failover.report(what, false);
    }
}

/// Connections that were idle all the time are still open to the former master.
#[test]
fn idle_connections_to_a_former_master_are_not_used_again() {
    let set = SentinelSet::start();
    let redis = set.redis().io_timeout(Duration::from_secs(20));
    let cache = Cache::builder(redis).prefix("test:");
    let cache: Cache = cache.ttl(Duration::from_secs(300)).build().unwrap();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    set.servers[0].freeze();
    set.wait_for_failover(0);
    let other = set.cache();
    other.invalidate("p").unwrap();
    thread::sleep(SEEN_WITHIN);
    set.servers[0].thaw();
    let mut former = set.servers[0].connect();
    let is_there = |former: &mut redis::Connection| {
        let exists = redis::cmd("EXISTS").arg("test:p").query(former);
        exists.unwrap_or(false)
    };
    assert!(
        is_there(&mut former),
        "it has not heard of the invalidation"
    );
    assert!(
        cache.peek("p").unwrap().is_none(),
        "what the former master has"
    );
    assert!(is_there(&mut former), "nor has it in the meantime");
}

#[test]
fn a_listener_leaves_a_former_master_that_only_sleeps() {
    let set = SentinelSet::start();
    let near = set
        .builder()
        .near_cache(10)
        .near_staleness(Duration::from_secs(60));
    let near: Cache = near.build().unwrap();
    until(|| near.get("p", load_loaf).unwrap().source() == Source::Near);
    set.servers[0].freeze();
    set.wait_for_failover(0);
    let master = &set.servers[set.master()];
    let began = Instant::now();
    until(|| !listeners::of(&mut master.connect()).is_empty());
    assert!(
        began.elapsed() < SEEN_WITHIN + MS(1_000),
        "{:?}",
        began.elapsed()
    );
    let other = set.cache();
    until(|| near.get("q", load_loaf).unwrap().source() == Source::Near);
    assert!(other.invalidate("q").unwrap());
    until(|| near.peek("q").unwrap().is_none());
    set.servers[0].thaw();
}

fn by_hand(set: &SentinelSet) {
    let mut failover = redis::cmd("SENTINEL");
    failover.arg("FAILOVER").arg(NAME);
    let mut sentinel = set.sentinels[1].connect().unwrap();
    failover.exec(&mut sentinel).unwrap();
}

/// The former master works until it is demoted. Its acknowledged writes are lost, unless replicas
/// are waited for.
#[test]
fn a_failover_by_hand_is_followed() {
    let go = |set: &mut SentinelSet| by_hand(set);
    for replicas in [0, 2] {
        let mut set = SentinelSet::start();
        let redis = set.redis().wait_for_replicas(replicas);
        let cache = Cache::builder(redis).prefix("test:").near_cache(100);
        let cache: Cache = cache.build().unwrap();
        let after = |_: &SentinelSet| thread::sleep(MS(3_000));
        let failover = Failover::of(&cache, &mut set, go, after);
        failover.report(&format!("by hand, waiting for {replicas} replicas"), true);
        if replicas == 2 {
            assert_eq!(failover.seen.stale, [], "both had what was acknowledged");
        }
        nothing_is_owed(&cache, &set);
    }
}

#[test]
fn the_former_master_comes_back_as_a_replica_and_is_left_alone() {
    let mut set = SentinelSet::start();
    let cache = set.cache();
    cache.get("p", load_loaf).unwrap();
    set.servers[0].kill();
    set.wait_for_failover(0);
    until(|| cache.get("p", load_loaf).unwrap().is_hit());
    // Empty, and a master according to itself.
    set.servers[0].start_again();
    for round in 0..300 {
        let found = cache.get("p", load_loaf).unwrap();
        assert!(
            found.is_hit(),
            "{round}: {:?} {:?}",
            found.source(),
            found.degraded_cause()
        );
        thread::sleep(MS(10));
    }
}

/// The cursor of a scan of one server is invalid on another.
#[test]
fn a_clear_during_which_another_becomes_the_master_fails() {
    let set = SentinelSet::start();
    let cache = set.cache();
    let fill =
        redis::Script::new("for i = 1, 10000 do redis.call('SET', 'test:' .. i, i, 'EX', 600) end");
    fill.invoke::<()>(&mut set.servers[0].connect()).unwrap();
    let mut steps = 0;
    let refused = cache.clear_with_progress(|_| {
        steps += 1;
        if steps == 3 {
            by_hand(&set);
            set.wait_for_failover(0);
            // A caller that has followed.
            until(|| cache.invalidate("p").is_ok());
            thread::sleep(SEEN_WITHIN);
        }
    });
    let refused = chain(&refused.unwrap_err());
    assert!(refused.contains("another server"), "{refused}");
    assert!(steps >= 3);
}
