//! A node of a cluster that redirects each request to another address, where nobody is.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{Cache, Redis, Source};

use crate::{
    fake,
    support::{free_port, load_loaf, until},
};

/// Threads of a cluster in order: those that open connections to its node, and the recoveries of the
/// cluster and of the cache. While some are started, twice as many are tried out for a moment.
const USUAL: usize = 3 + 2 + 6;

/// Three more threads for all unconfirmed nodes.
const WITH_UNCONFIRMED: usize = USUAL + 3;

/// As many as the nodes of a large cluster share: see `src/redis/cluster/threads.rs`.
const WITH_CONFIRMED: usize = USUAL + 32 * 3;

/// In KiB. The process has about 20 MiB.
const MOST_MEMORY: usize = 8 * 1024;

/// What the node answers besides the redirections.
#[derive(Clone, Copy, PartialEq)]
enum Report {
    /// It has all slots.
    All,
    /// The latest address in a redirection has one of them.
    Latest,
}

/// The most that the process had of each while the node redirected.
#[derive(Debug)]
struct Most {
    threads: usize,
    /// How much the memory grew during the second half of the redirections.
    growth: usize,
}

/// Looks records up until the node has redirected this many times.
fn redirected(kind: &'static str, report: Report, times: u32) -> Most {
    let port = free_port();
    let (redirections, is_over) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (count, well) = (Arc::clone(&redirections), Arc::clone(&is_over));
    fake::answer(port, move |words| match &*words[0] {
        "HGETALL" if !well.load(SeqCst) => {
            let at = count.fetch_add(1, SeqCst) + 1;
            format!("-{kind} 5 {}:{port}\r\n", address(at))
        }
        "CLUSTER" if words[1] == "SLOTS" => {
            let latest = count.load(SeqCst);
            let own = "127.0.0.1".to_owned();
            let fifth = match report {
                Report::Latest if latest > 0 && !well.load(SeqCst) => address(latest),
                _ => own.clone(),
            };
            let ranges = [(0, 4, &own), (5, 5, &fifth), (6, 16_383, &own)];
            let ranges = ranges.map(|(first, last, host)| {
                let size = host.len();
                format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n${size}\r\n{host}\r\n:{port}\r\n")
            });
            format!("*3\r\n{}", ranges.concat())
        }
        "HELLO" => {
            let (version, role) = (["version", "7.0.15"], ["role", "master"]);
            fake::texts(&[&["server", "redis", "mode", "cluster"], &version[..], &role].concat())
        }
        "HGETALL" => fake::texts(&["name", "Loaf"]),
        "EVALSHA" => "-NOSCRIPT No matching script\r\n".to_owned(),
        "INFO" => "$-1\r\n".to_owned(),
        "PING" => format!("${}\r\n{}\r\n", words[1].len(), words[1]),
        _ => "+OK\r\n".to_owned(),
    });
    let redis = Redis::builder(format!("redis+cluster://127.0.0.1:{port}"))
        .breaker_threshold(1_000_000)
        .probe_interval(Duration::from_millis(100));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let (mut most, mut halfway) = (0, None);
    for call in 0..10 * times {
        let source = cache.get("p-001", load_loaf).unwrap().source();
        assert_eq!(source, Source::Degraded);
        if call % 8 == 0 {
            most = most.max(threads());
        }
        let redirections = redirections.load(SeqCst);
        if redirections >= times / 2 {
            halfway.get_or_insert_with(memory);
        }
        if redirections >= times {
            break;
        }
    }
    let halfway = halfway.expect("half of the redirections");
    let growth = memory().saturating_sub(halfway);
    assert!(redirections.load(SeqCst) >= times);
    is_over.store(true, SeqCst);
    until(|| cache.get("p-001", load_loaf).unwrap().is_hit());
    let most = Most {
        threads: most,
        growth,
    };
    println!("{times} redirections by {kind}: {most:?} KiB");
    most
}

/// An address for each number. Nobody is there.
fn address(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("127.{}.{middle}.{low}", high + 1)
}

fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("cache-aside")).count()
}

/// Resident, in KiB.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_address_that_no_report_names_is_not_followed() {
    own_process!();
    let most = redirected("MOVED", Report::All, 3_000);
    assert!(most.threads <= USUAL, "{most:?}");
    assert!(most.growth <= MOST_MEMORY, "{most:?}");
}

#[test]
fn addresses_to_which_slots_are_said_to_move_share_a_few_threads() {
    own_process!();
    let most = redirected("ASK", Report::All, 3_000);
    assert!(most.threads <= WITH_UNCONFIRMED, "{most:?}");
    assert!(most.growth <= MOST_MEMORY, "{most:?}");
}

#[test]
fn addresses_that_reports_name_and_no_longer_name_are_forgotten() {
    own_process!();
    let most = redirected("MOVED", Report::Latest, 300);
    assert!(most.threads <= WITH_CONFIRMED, "{most:?}");
    assert!(most.growth <= MOST_MEMORY, "{most:?}");
}
