//! Lookups that find no free connection, and share the next one.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::proxy::{Harm, Proxy, Which};
use crate::support::{Server, chain, load_loaf, until};
use cache_aside::{Cache, Lookup, Record, Redis, RedisBuilder, Source};

/// How long the only connection is in use before the others get it: long enough for all to arrive
/// on a busy machine.
const TAKEN: Duration = Duration::from_millis(800);

const CHECKOUT: Duration = Duration::from_secs(3);
const IO: Duration = Duration::from_secs(2);

/// How many threads wait for it.
const READERS: usize = 8;

/// The record whose read uses the connection.
const FIRST: &str = "first";

fn cache(server: impl Into<cache_aside::Backend>) -> Cache {
    Cache::builder(server).prefix("test:").build().unwrap()
}

/// A pool of one connection.
fn narrow(url: &str) -> RedisBuilder {
    Redis::builder(url)
        .pool_size(1)
        .checkout_timeout(CHECKOUT)
        .connect_timeout(IO)
        .io_timeout(IO)
}

fn id(number: usize) -> String {
    format!("p-{number:03}")
}

fn record(id: &str) -> Record {
    Record::from([("id", id), ("name", "Sourdough Loaf")])
}

fn find(cache: &Cache, id: &str) -> Lookup<Record> {
    let found = cache.get(id, |id| Ok::<_, std::convert::Infallible>(Some(record(id))));
    let found = found.unwrap();
    assert_eq!(**found.record().unwrap(), record(id), "another's record");
    found
}

/// A caller that waited: its answer, and how long it took.
struct Waited {
    found: Lookup<Record>,
    elapsed: Duration,
}

struct Environment {
    server: Server,
    proxy: Proxy,
}

impl Environment {
    /// With all records cached, and one connection open.
    fn new() -> (Environment, Cache) {
        let server = Server::start_on_port();
        let proxy = Proxy::before(server.port());
        let cache = cache(narrow(&proxy.url()));
        for id in (0..READERS).map(id).chain([FIRST.into()]) {
            find(&cache, &id);
        }
        cache.reset_stats();
        (Environment { server, proxy }, cache)
    }

    /// The connection is in use, all callers arrive, the wire is harmed, and the connection becomes
    /// free.
    fn wait_together(&self, cache: &Cache, harm: Option<(Which, Harm)>) -> Vec<Waited> {
        self.wait_behind(None, cache, harm)
    }

    /// The same, and this one arrives before all others.
    fn wait_behind(
        &self,
        head: Option<&str>,
        cache: &Cache,
        harm: Option<(Which, Harm)>,
    ) -> Vec<Waited> {
        let taken = Harm::Delay(TAKEN / 2);
        self.proxy.harm(Which::With(FIRST.as_bytes()), taken);
        let come = Barrier::new(READERS + 1);
        thread::scope(|scope| {
            let first = scope.spawn(|| find(cache, FIRST));
            until(|| self.proxy.has_harmed());
            if let Some(head) = head {
                scope.spawn(move || cache.get(head, load_loaf).unwrap());
                thread::sleep(TAKEN / 4);
            }
            let waiting: Vec<_> = (0..READERS)
                .map(|number| {
                    let come = &come;
                    scope.spawn(move || {
                        come.wait();
                        let began = Instant::now();
                        let found = find(cache, &id(number));
                        let elapsed = began.elapsed();
                        Waited { found, elapsed }
                    })
                })
                .collect();
            come.wait();
            if let Some((which, harm)) = harm {
                self.proxy.harm(which, harm);
            }
            let waited = waiting.into_iter().map(|waits| waits.join().unwrap());
            let waited = waited.collect();
            assert_eq!(first.join().unwrap().source(), Source::Hit);
            waited
        })
    }
}

/// The number of lookups, of reads from a socket, and of new connections, as the server counts
/// them.
fn asked(redis: &mut redis::Connection) -> [u64; 3] {
    let all: String = redis::cmd("INFO").arg("all").query(redis).unwrap();
    let number = |name| {
        let rest = all.split(name).nth(1).expect("it is counted");
        let digits = rest.split(|end: char| !end.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    };
    [
        number("cmdstat_hgetall:calls="),
        number("total_reads_processed:"),
        number("total_connections_received:"),
    ]
}

fn count(waited: &[Waited], source: Source) -> usize {
    let from = |waited: &&Waited| waited.found.source() == source;
    waited.iter().filter(from).count()
}

#[test]
fn callers_that_wait_for_a_connection_share_one_request() {
    let (environment, cache) = Environment::new();
    let mut redis = environment.server.connect();
    let mut once = || {
        let before = asked(&mut redis);
        let waited = environment.wait_together(&cache, None);
        assert_eq!(count(&waited, Source::Hit), READERS);
        let after = asked(&mut redis);
        [0, 1, 2].map(|what| after[what] - before[what])
    };
    // One for the caller with the connection, one for all the others, and this one. Each second one
    // more connection is opened, to check where the address leads, and sends up to two requests. It
    // may have been opened before, and send its request now: so one round must be right, not each.
    let all: Vec<_> = (0..20).map(|_| once()).collect();
    let looks = READERS as u64 + 1;
    assert!(all.iter().all(|counted| counted[0] == looks), "{all:?}");
    let is_shared = |[_, reads, opened]: &[u64; 3]| *reads <= 3 + 2 * opened;
    assert!(all.iter().any(is_shared), "{all:?}");
}

#[test]
fn of_callers_that_share_a_request_the_one_that_misses_loads_and_the_others_hit() {
    let (environment, cache) = Environment::new();
    let mut redis = environment.server.connect();
    let set = redis::cmd("SET")
        .arg(&["test:p-002", "no hash"])
        .exec(&mut redis);
    set.unwrap();
    cache.invalidate("p-005").unwrap();
    let waited = environment.wait_together(&cache, None);
    assert_eq!(count(&waited, Source::Hit), READERS - 2);
    for number in [2, 5] {
        assert_eq!(waited[number].found.source(), Source::Loaded);
    }
    assert_eq!(cache.stats().unreadable_entries, 1);
    assert_eq!(find(&cache, "p-002").source(), Source::Hit);
}

/// Two caches on one pool. One of them also asks for the TTL of its records.
#[test]
fn callers_with_different_requests_share_a_round_trip() {
    let server = Server::start_on_port();
    let url = server.url();
    let pool = narrow(&url).build().unwrap();
    let plain = cache(pool.clone());
    let graced = Cache::builder(pool).prefix("test:");
    let graced: Cache = graced.grace(Duration::from_secs(1)).build().unwrap();
    thread::scope(|scope| {
        for reader in 0..16 {
            let cache = if reader % 2 == 0 { &plain } else { &graced };
            scope.spawn(move || {
                for number in 0..500 {
                    let found = find(cache, &id((number * (reader + 1)) % 50));
                    assert_ne!(found.source(), Source::Degraded);
                }
            });
        }
    });
    assert_eq!(plain.stats().store_errors + graced.stats().store_errors, 0);
}

#[test]
fn a_connection_that_is_cut_under_them_costs_nobody_an_answer() {
    for harm in [
        Harm::CutBefore,
        Harm::CutInRequest,
        Harm::CutBeforeReply,
        Harm::CutInReply,
        Harm::CutAtLastByte,
    ] {
        let (environment, cache) = Environment::new();
        let waited = environment.wait_together(&cache, Some((Which::Nth(1), harm)));
        assert_eq!(count(&waited, Source::Hit), READERS, "{harm:?}");
    }
}

/// A request for a lease is not sent twice: an earlier one on its way would set it again after an
/// invalidation. A caller without a reply goes on without Redis, and releases the lease that it may
/// have.
#[test]
fn leases_whose_connection_is_cut_under_those_who_ask_are_given_back_and_not_asked_for_again() {
    for harm in [Harm::CutBefore, Harm::CutBeforeReply, Harm::CutInReply] {
        let (environment, cache) = Environment::new();
        for number in 0..READERS {
            cache.invalidate(id(number)).unwrap();
        }
        let waited = environment.wait_together(&cache, Some((Which::With(b"recheck"), harm)));
        let degraded = count(&waited, Source::Degraded);
        assert!(degraded > 0, "{harm:?}");
        assert_eq!(degraded + count(&waited, Source::Loaded), READERS);
        until(|| {
            let mut redis = environment.server.connect();
            let leases: Vec<String> = redis::cmd("KEYS").arg("lock:*").query(&mut redis).unwrap();
            leases.is_empty()
        });
    }
}

#[test]
fn scripts_that_the_server_forgot_are_sent_again_for_a_shared_request() {
    let (environment, cache) = Environment::new();
    for number in 0..READERS {
        cache.invalidate(id(number)).unwrap();
    }
    let flush = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .exec(&mut environment.server.connect());
    flush.unwrap();
    let waited = environment.wait_together(&cache, None);
    assert_eq!(count(&waited, Source::Loaded), READERS);
    assert_eq!(cache.stats().store_errors, 0);
}

/// Only at the end of a pipeline is it known which reply belongs to which request. So the replies
/// before the one that never ends do not count.
#[test]
fn a_reply_that_never_ends_fails_all_that_share_it_in_time_and_does_not_open_the_breaker() {
    let (environment, cache) = Environment::new();
    let stall = (Which::Nth(1), Harm::StallInReply);
    let waited = environment.wait_together(&cache, Some(stall));
    assert!(count(&waited, Source::Degraded) >= READERS / 2);
    for Waited { found, elapsed } in &waited {
        assert!(*elapsed < CHECKOUT + IO, "{elapsed:?}");
        if let Some(why) = found.degraded_cause() {
            assert!(chain(why).contains("no answer within 2s"), "{why}");
        }
    }
    // The breaker needs five failures in a row, and this was one.
    assert!(!cache.stats().breaker_open);
    environment.proxy.spare();
    assert_eq!(find(&cache, FIRST).source(), Source::Hit);
}

#[test]
fn an_invalid_reply_under_them_costs_nobody_an_answer() {
    let (environment, cache) = Environment::new();
    let nonsense = (Which::Nth(1), Harm::Replace(b":7\r\n"));
    let waited = environment.wait_together(&cache, Some(nonsense));
    assert_eq!(count(&waited, Source::Hit), READERS);
    for number in 0..READERS {
        assert_eq!(find(&cache, &id(number)).source(), Source::Hit);
    }
}

/// A slow network that never times out.
#[test]
fn a_huge_record_of_one_holds_the_others_no_longer_than_their_time() {
    const HUGE: usize = 4 << 20;
    let (environment, cache) = Environment::new();
    let mut redis = environment.server.connect();
    let huge = "x".repeat(HUGE);
    let set = redis::cmd("HSET")
        .arg(&["test:huge", "id", &huge])
        .exec(&mut redis);
    set.unwrap();
    // Eight seconds in total.
    let dribble = Harm::Dribble(HUGE / 40, Duration::from_millis(200));
    let waited =
        environment.wait_behind(Some("huge"), &cache, Some((Which::With(b"huge"), dribble)));
    for Waited { found, elapsed } in &waited {
        assert!(*elapsed < CHECKOUT + IO + TAKEN / 2, "{elapsed:?}");
        let why = chain(found.degraded_cause().expect("it is behind"));
        assert!(
            why.contains("behind other requests on a shared connection"),
            "{why}"
        );
    }
    assert!(!cache.stats().breaker_open);
}

/// A refusal is a complete reply. The next reply belongs to the next caller.
#[test]
fn a_refused_caller_shifts_no_other_callers_answer() {
    let server = Server::start_on_port();
    server.expect_denials();
    let mut redis = server.connect();
    let user = "ACL SETUSER half on >secret ~test:* ~lock:{test:* +@all";
    let mut set = redis::Cmd::new();
    set.arg(user.split(' ').collect::<Vec<_>>());
    set.exec(&mut redis).unwrap();
    let url = format!("redis://half:secret@127.0.0.1:{}", server.port());
    let pool = narrow(&url).breaker_threshold(1_000_000).build().unwrap();
    let (allowed, denied) = (cache(pool.clone()), Cache::builder(pool).prefix("other:"));
    let denied: Cache = denied.build().unwrap();
    thread::scope(|scope| {
        for reader in 0..16 {
            let (allowed, denied) = (&allowed, &denied);
            scope.spawn(move || {
                for number in 0..300 {
                    let id = id((number * (reader + 1)) % 50);
                    if reader % 4 == 0 {
                        let found = find(denied, &id);
                        let why = chain(found.degraded_cause().expect("it is refused"));
                        assert!(why.contains("NOPERM"), "{why}");
                    } else {
                        assert_ne!(find(allowed, &id).source(), Source::Degraded);
                    }
                }
            });
        }
    });
}

#[test]
fn callers_that_get_no_connection_in_time_are_degraded_together() {
    let (server, brief) = (Server::start_on_port(), Duration::from_millis(100));
    let proxy = Proxy::before(server.port());
    let cache = cache(narrow(&proxy.url()).checkout_timeout(brief));
    for id in (0..READERS).map(id).chain([FIRST.into()]) {
        find(&cache, &id);
    }
    let environment = Environment { server, proxy };
    let mut redis = environment.server.connect();
    let [looks, ..] = asked(&mut redis);
    let waited = environment.wait_together(&cache, None);
    // No request is sent for callers that have left.
    assert_eq!(asked(&mut redis)[0], looks + 1);
    for Waited { found, elapsed } in &waited {
        let why = found.degraded_cause().expect("it was taken for longer");
        let why = chain(why);
        assert!(
            why.contains("none of the pool's connections (1) was free"),
            "{why}"
        );
        assert!(*elapsed >= brief && *elapsed < TAKEN / 2, "{elapsed:?}");
    }
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_server_that_refuses_connections_is_found_out_by_all_at_once() {
    let (mut environment, cache) = Environment::new();
    environment.server.kill();
    let come = Barrier::new(READERS);
    thread::scope(|scope| {
        for number in 0..READERS {
            let (cache, come) = (&cache, &come);
            scope.spawn(move || {
                come.wait();
                let began = Instant::now();
                let found = find(cache, &id(number));
                assert_eq!(found.source(), Source::Degraded);
                assert!(began.elapsed() < CHECKOUT / 2);
            });
        }
    });
}
