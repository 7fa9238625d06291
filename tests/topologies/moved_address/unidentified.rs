//! The new server does not report its `run_id`: it is busy, or the user has no permission there.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis, Source};
use redis::cmd;

use super::{
    MS, SEEN_WITHIN, load, number,
    pair::{Former, Pair, add_user_to, replicate, url_of},
    version,
};
use crate::support::until;

/// Runs for 400 ms.
const BUSY: &str = "\
    local function now() local t = redis.call('TIME'); return t[1] * 1000000 + t[2] end \
    local ends = now() + 400000 \
    while now() < ends do end";

/// Connections to it are opened while a script keeps it from answering `INFO`. Others to the former
/// master are in use.
#[test]
fn a_new_master_that_is_busy_is_not_taken_for_the_former_one() {
    let pair = Pair::start();
    let [old, new] = &pair.servers;
    let redis = pair.redis().pool_size(8).breaker_threshold(100_000);
    let redis = redis.io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let primary = AtomicU64::new(0);
    let read = |_: &str| Ok::<_, Infallible>(Some(version(primary.load(SeqCst))));
    for id in ["x", "hot"] {
        cache.get(id, read).unwrap();
    }
    let mut direct = new.connect();
    let mut limit = cmd("CONFIG");
    limit.arg(&["SET", "busy-reply-threshold", "20"]);
    limit.exec(&mut direct).unwrap();
    let is_over = AtomicBool::new(false);
    let (mut acknowledged, mut stale) = (0, Vec::new());
    thread::scope(|scope| {
        let add_readers = |count| {
            for _ in 0..count {
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        cache.get("hot", read).unwrap();
                    }
                });
            }
        };
        add_readers(2);
        until(|| cache.stats().hits > 1_000);
        // The next check of the address is 0.9 s away, when the script has ended.
        let opened = pair.relay.opened();
        until(|| pair.relay.opened() > opened);
        cmd("REPLICAOF")
            .arg(&["NO", "ONE"])
            .exec(&mut direct)
            .unwrap();
        let script = scope.spawn(move || {
            let mut script = cmd("EVAL");
            script.arg(BUSY).arg(0).exec(&mut direct).unwrap();
        });
        let is_busy = || {
            let pong = cmd("PING").exec(&mut new.connect());
            pong.is_err_and(|error| error.code() == Some("BUSY"))
        };
        until(is_busy);
        pair.relay.move_to(new.port());
        let opened = pair.relay.opened();
        add_readers(6);
        until(|| pair.relay.opened() > opened);
        script.join().unwrap();
        // No server listens there.
        replicate(old, 1);
        let began = Instant::now();
        while began.elapsed() < MS(1_500) {
            let now = primary.fetch_add(1, SeqCst) + 1;
            let ended = cache.invalidate("x");
            acknowledged += u64::from(ended.is_ok());
            for _ in 0..3 {
                let found = cache.get("x", read).unwrap();
                let seen = number(found.record());
                if ended.is_ok() && seen < now {
                    stale.push((now, seen, found.source()));
                }
            }
        }
        is_over.store(true, SeqCst);
    });
    stale.truncate(5);
    assert_eq!(stale, [], "{acknowledged} acknowledged");
    assert!(acknowledged > 10, "{acknowledged}");
}

/// The pool knows the `run_id` of the former master, which still considers itself one.
#[test]
fn a_new_master_that_denies_info_is_not_taken_for_the_former_one() {
    let pair = Pair::start();
    add_user_to(&pair.servers[0], "shop", &[]);
    add_user_to(&pair.servers[1], "shop", &["+info"]);
    let cache_at = || -> Cache {
        let redis = Redis::builder(url_of(&pair, "shop")).io_timeout(Duration::from_secs(10));
        Cache::builder(redis).prefix("test:").build().unwrap()
    };
    let reader = cache_at();
    until(|| reader.get("x", load(1)).unwrap().is_hit());
    pair.move_to(1, Former::Master);
    let other = cache_at();
    assert!(other.invalidate("x").unwrap());
    assert_eq!(other.get("x", load(2)).unwrap().source(), Source::Loaded);
    let began = Instant::now();
    until(|| number(reader.get("x", load(2)).unwrap().record()) == 2);
    assert!(began.elapsed() < SEEN_WITHIN, "{:?}", began.elapsed());
    // From then on nobody is asked for it, and connections stay open.
    let opened = pair.relay.opened();
    thread::sleep(MS(2_000));
    assert!(reader.get("x", load(3)).unwrap().is_hit());
    assert!(
        pair.relay.opened() - opened <= 6,
        "only checks of the address"
    );
    assert_eq!(reader.stats().store_errors, 0);
}
