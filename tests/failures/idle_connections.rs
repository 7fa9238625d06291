//! Connections that are idle: they are closed in time, and until then the kernel checks them.

use std::{
    fs,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis};

use crate::{
    broken_connections::use_all_connections,
    relay::Relay,
    support::{Server, load_loaf},
};

/// The pool looks for idle connections this often.
const LOOKS: Duration = Duration::from_secs(30);

/// The number of sockets of this process that are connected to this port, and the longest time in
/// seconds until the kernel checks one of them. `None`: it checks one of them never.
fn keepalive_timers(port: u16) -> (usize, Option<u64>) {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let peer = format!("0100007F:{port:04X}");
    let timers = table.lines().skip(1).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // 01: established.
        if words[2] != peer || words[3] != "01" {
            return None;
        }
        // The kind of the timer and its remaining time, in hundredths of a second.
        let (kind, ticks) = words[5].split_once(':').unwrap();
        let ticks = u64::from_str_radix(ticks, 16).unwrap();
        Some((kind == "02").then_some(ticks / 100))
    });
    let timers: Vec<_> = timers.collect();
    let longest = timers.iter().copied().collect::<Option<Vec<_>>>();
    (timers.len(), longest.and_then(|all| all.into_iter().max()))
}

#[test]
#[cfg(target_os = "linux")]
fn the_kernel_checks_each_idle_connection_after_the_set_time() {
    for (set, seconds) in [(None, 60), (Some(Duration::from_secs(240)), 240)] {
        let server = Server::start_on_port();
        let relay = Relay::before(server.port());
        let mut redis = Redis::builder(relay.url()).pool_size(4);
        if let Some(set) = set {
            redis = redis.tcp_keepalive(set);
        }
        // It also has the connection of a listener.
        let cache = Cache::builder(redis).prefix("test:").near_cache(10);
        let cache: Cache = cache.build().unwrap();
        use_all_connections(&cache, 4);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (count, longest) = keepalive_timers(relay.port());
            // One that has just sent something waits for its confirmation, and has another timer.
            let is_set = longest.is_some_and(|left| left <= seconds && left + 20 > seconds);
            if count >= 5 && is_set {
                break;
            }
            let seen = format!("{count} connections, {longest:?} s");
            assert!(Instant::now() < deadline, "{seen}, not {seconds} s");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_connection_is_closed_after_the_set_time() {
    let server = Server::start_on_port();
    let relay = Relay::before(server.port());
    let limit = Duration::from_secs(1);
    let redis = Redis::builder(relay.url()).pool_size(4).idle_timeout(limit);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    use_all_connections(&cache, 4);
    let (idle_since, open) = (Instant::now(), || keepalive_timers(relay.port()).0);
    assert!(open() >= 4);
    while open() > 0 {
        let idle = idle_since.elapsed();
        assert!(idle < limit + 2 * LOOKS, "{} open after {idle:?}", open());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(cache.get("p-001", load_loaf).is_ok());
    assert_eq!(cache.stats().store_errors, 0);
}
