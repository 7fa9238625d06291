//! No leaks: after very many lookups the calls, leases, memory, threads and connections are back to
//! where they were.
//!
//! The long form, a million distinct ids: `cargo test --release --test own_process -- --ignored
//! --nocapture a_million`.

use std::{
    convert::Infallible,
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, loaf, until};
use cache_aside::{Cache, Error, Record, Redis};

/// Connections at most.
const POOL: u32 = 4;

/// The resources of a process: one test at a time, or each would see the others' threads.
static ALONE: Mutex<()> = Mutex::new(());

/// The resources of this process, according to the operating system.
#[derive(Debug)]
struct Held {
    /// Threads of caches and pools. The test's own come and go.
    threads: usize,
    files: usize,
    /// Resident, in KiB.
    memory: usize,
}

impl Held {
    fn now() -> Held {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let word = line.split_whitespace().nth(1).unwrap();
            word.parse().unwrap()
        };
        Held {
            threads: fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
                .filter(|name| name.starts_with("cache-aside") || name.starts_with("r2d2"))
                .count(),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            memory: number("VmRSS:"),
        }
    }

    /// No more threads and files, except for connections that the pool had not opened yet.
    fn is_within(&self, warm: &Held) {
        assert!(self.threads <= warm.threads, "{self:?}, was {warm:?}");
        assert!(
            self.files < warm.files + POOL as usize,
            "{self:?}, was {warm:?}"
        );
    }
}

fn cache(server: &Server) -> Cache {
    let redis = Redis::builder(server.url()).pool_size(POOL);
    let builder = Cache::builder(redis).prefix("test:");
    builder.ttl(Duration::from_secs(2)).build().unwrap()
}

fn leases(server: &Server) -> usize {
    let leases: Vec<String> = redis::cmd("KEYS")
        .arg("lock:*")
        .query(&mut server.connect())
        .unwrap();
    leases.len()
}

fn clients(server: &Server) -> usize {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut server.connect())
        .unwrap();
    // Except the one that asks.
    list.lines().count() - 1
}

/// Runs `ask` for this many ids, on four threads.
fn ask_for(ids: usize, ask: impl Fn(&str) + Sync) {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let id = next.fetch_add(1, SeqCst);
                    if id >= ids {
                        return;
                    }
                    if id > 0 && id.is_multiple_of(100_000) {
                        println!("{id} of {ids} after {:.0?}", began.elapsed());
                    }
                    ask(&format!("p-{id}"));
                }
            });
        }
    });
}

fn distinct_ids_leave_nothing_behind(ids: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    // Those of the previous test may still be ending.
    until(|| Held::now().threads == 0);
    let before_any = Held::now();
    let cache = cache(&server);
    let load = |_: &str| Ok::<_, Infallible>(Some(loaf()));
    // First a tenth: pools, threads and allocators take what they need.
    ask_for(ids / 10, |id| drop(cache.get(id, load).unwrap()));
    let warm = Held::now();
    ask_for(ids, |id| {
        cache.get(id, load).unwrap();
        cache.invalidate(id).unwrap();
    });
    let after = Held::now();
    println!("warm {warm:?}, after {ids} ids {after:?}");
    after.is_within(&warm);
    // A leak of one call for each id, the smallest possible, would be over 100 bytes each.
    let grown = after.memory.saturating_sub(warm.memory) * 1024;
    assert!(grown < 1 << 20 || grown < 20 * ids, "{grown} bytes more");
    assert_eq!(leases(&server), 0);
    assert!(clients(&server) <= POOL as usize);
    assert_eq!(cache.stats().store_errors, 0);
    server.assert_every_key_expires();

    drop(cache);
    until(|| clients(&server) == 0 && Held::now().threads == 0);
    assert_eq!(Held::now().files, before_any.files);
}

#[test]
fn twenty_thousand_ids_leave_nothing_behind() {
    own_process!();
    distinct_ids_leave_nothing_behind(20_000);
}

#[test]
#[ignore = "a minute or two; see the top of this file"]
fn a_million_ids_leave_nothing_behind() {
    own_process!();
    distinct_ids_leave_nothing_behind(1_000_000);
}

#[test]
fn ten_thousand_failed_loads_leave_nothing_behind() {
    own_process!();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    let cache = cache(&server);
    let fail = |id: &str| {
        let failed = cache.get(id, |_| Err::<Option<Record>, _>("the primary is away"));
        assert!(matches!(failed, Err(Error::Loader(_))));
    };
    ask_for(1_000, fail);
    let warm = Held::now();
    ask_for(10_000, fail);
    let after = Held::now();
    println!("warm {warm:?}, after 10,000 failures {after:?}");
    after.is_within(&warm);
    let grown = after.memory.saturating_sub(warm.memory);
    assert!(grown < 1024, "{grown} KiB more");
    assert_eq!(leases(&server), 0);
    assert_eq!(cache.stats().load_errors, 11_000);
}

#[test]
fn loads_that_panic_leave_no_lease_and_no_call() {
    own_process!();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    let cache = cache(&server);
    for _ in 0..20 {
        let panicked = thread::scope(|scope| {
            let lookup = scope.spawn(|| {
                cache.get("p-001", |_| -> Result<Option<Record>, Infallible> {
                    // Without the message of a panic.
                    std::panic::resume_unwind(Box::new("the loader's own"))
                })
            });
            lookup.join()
        });
        assert!(panicked.is_err());
    }
    until(|| leases(&server) == 0);
    let found = cache.get("p-001", |_| Ok::<_, Infallible>(Some(loaf())));
    assert_eq!(**found.unwrap().record().unwrap(), loaf());
}
