//! A user without `+info` learns the role, but no `run_id`.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis, Source};
use redis::cmd;

use super::{
    MS, SEEN_WITHIN, load, number,
    pair::{Former, Pair, add_user},
};
use crate::{
    listeners,
    support::{Server, until},
};

fn cache_at(url: &str) -> Cache {
    let redis = Redis::builder(url).io_timeout(Duration::from_secs(10));
    Cache::builder(redis).prefix("test:").build().unwrap()
}

/// How often `INFO` was denied, and what else was.
fn denied(server: &Server) -> (u64, Vec<String>) {
    let log: redis::Value = cmd("ACL").arg("LOG").query(&mut server.connect()).unwrap();
    let lines: Vec<std::collections::HashMap<String, redis::Value>> =
        redis::from_redis_value(log).unwrap();
    let mut info = 0;
    let mut others = Vec::new();
    for line in lines {
        let object: String = redis::from_redis_value(line["object"].clone()).unwrap();
        if object.starts_with("info") {
            info += redis::from_redis_value::<u64>(line["count"].clone()).unwrap();
        } else {
            others.push(object);
        }
    }
    (info, others)
}

/// A refusal is not a failure, shifts no reply, and happens once.
#[test]
fn a_user_who_may_not_ask_for_info_is_served_as_others_are() {
    let pair = Pair::start();
    let cache = cache_at(&add_user(&pair, "no-info", &["+info"]));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in ["a", "b", "c", "d"] {
            let (cache, is_over) = (&cache, &is_over);
            scope.spawn(move || {
                let mine = id.bytes().next().unwrap().into();
                while !is_over.load(SeqCst) {
                    let found = cache.get(id, load(mine)).unwrap();
                    assert_eq!(number(found.record()), mine);
                }
            });
        }
        // Some connections, and some checks of the address.
        thread::sleep(Duration::from_millis(2_500));
        is_over.store(true, SeqCst);
    });
    assert!(cache.invalidate("a").unwrap());
    let stats = cache.stats();
    assert_eq!((stats.store_errors, stats.degraded), (0, 0), "{stats:?}");
    assert_eq!(denied(&pair.servers[0]), (1, vec![]));
}

#[test]
fn without_info_a_former_master_is_left_by_its_role() {
    let pair = Pair::start();
    let url = add_user(&pair, "no-info", &["+info"]);
    let (reader, writer) = (cache_at(&url), cache_at(&url));
    for cache in [&reader, &writer] {
        until(|| cache.get("x", load(1)).unwrap().is_hit());
    }
    pair.move_to(1, Former::ReplicaCutOff);
    assert!(writer.invalidate("x").unwrap());
    assert_eq!(writer.get("x", load(2)).unwrap().source(), Source::Loaded);
    let began = Instant::now();
    until(|| number(reader.get("x", load(2)).unwrap().record()) == 2);
    assert!(began.elapsed() < SEEN_WITHIN, "{:?}", began.elapsed());
    let stats = writer.stats();
    assert_eq!((stats.store_errors, stats.degraded), (0, 0), "{stats:?}");
}

/// Its only connection is never idle.
#[test]
fn without_info_a_former_master_is_left_on_a_pool_that_is_always_in_use() {
    let pair = Pair::start();
    let url = add_user(&pair, "no-info", &["+info"]);
    let redis = Redis::builder(&*url).pool_size(1);
    let patient = Duration::from_secs(10);
    let redis = redis.io_timeout(patient).checkout_timeout(patient);
    let reader: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| reader.get("x", load(1)).unwrap().is_hit());
    let is_over = AtomicBool::new(false);
    let elapsed = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    reader.get("x", load(2)).unwrap();
                }
            });
        }
        until(|| reader.stats().hits > 1_000);
        pair.move_to(1, Former::ReplicaCutOff);
        cmd("DEL")
            .arg("test:x")
            .exec(&mut pair.servers[1].connect())
            .unwrap();
        let began = Instant::now();
        let is_left = || number(reader.get("x", load(2)).unwrap().record()) == 2;
        while !is_left() && began.elapsed() < MS(4_000) {}
        is_over.store(true, SeqCst);
        began.elapsed()
    });
    assert!(elapsed < SEEN_WITHIN, "{elapsed:?}");
    assert_eq!(reader.stats().store_errors, 0);
}

/// A near cache without lookups has no pooled connection after ten minutes; it has a listener.
#[test]
fn without_info_a_listener_leaves_a_former_master() {
    let pair = Pair::start();
    let url = add_user(&pair, "no-info", &["+info"]);
    let near = Cache::builder(&*url).prefix("test:").near_cache(10);
    let near: Cache = near.build().unwrap();
    until(|| near.stats().tracking_live);
    assert_eq!(listeners::of(&mut pair.servers[0].connect()).len(), 1);
    pair.move_to(1, Former::ReplicaCutOff);
    let began = Instant::now();
    let has_moved = || listeners::of(&mut pair.servers[1].connect()).len() == 1;
    while !has_moved() && began.elapsed() < MS(4_000) {}
    assert!(began.elapsed() < SEEN_WITHIN, "{:?}", began.elapsed());
    until(|| near.stats().tracking_live);
    assert_eq!(near.stats().store_errors, 0);
}
