//! Redis fails, and the loader answers.

use std::{
    error::Error as _,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, chain, free_port, load_loaf, loaf, until, until_recovered};
use cache_aside::{Cache, Error, LoadingCache, Redis, RedisBuilder, Source, TtlRemaining};

/// Short enough for a test, long enough for a server that works.
const TIMEOUT: Duration = Duration::from_millis(500);

fn impatient(url: &str) -> RedisBuilder {
    Redis::builder(url)
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
}

fn cache(server: RedisBuilder) -> Cache {
    Cache::builder(server).prefix("test:").build().unwrap()
}

/// A cache on a server that is gone: its connections are refused.
fn cache_without_redis(settings: impl FnOnce(&str) -> RedisBuilder) -> Cache {
    let mut server = Server::start_on_port();
    let cache = cache(settings(&server.url()));
    server.kill();
    cache
}

fn assert_degraded(cache: &Cache) {
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);
    assert_eq!(**found.record().unwrap(), loaf());
    assert!(matches!(found.degraded_cause(), Some(Error::Store { .. })));
}

#[test]
fn a_lookup_without_redis_is_answered_by_the_loader_and_says_so() {
    let cache = cache_without_redis(impatient);
    assert_degraded(&cache);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.degraded, stats.loads), (1, 1, 1));
    assert_eq!(stats.store_errors, 1);
}

#[test]
fn a_refused_connection_delays_a_lookup_by_a_moment_only() {
    let patient = |url: &str| Redis::builder(url).checkout_timeout(Duration::from_secs(20));
    let cache = cache_without_redis(patient);
    let began = Instant::now();
    assert_degraded(&cache);
    assert_degraded(&cache);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_invalidation_that_does_not_reach_redis_is_an_error() {
    let cache = cache_without_redis(impatient);
    let error = cache.invalidate("p-001").unwrap_err();
    assert!(matches!(
        error,
        Error::Store {
            request: "invalidate",
            ..
        }
    ));
    assert!(chain(&error).contains("refused"), "{error}");
    assert!(cache.update_field("p-001", "stock", "1").is_err());
    assert!(cache.update("p-001", |_| None).is_err());
    assert!(cache.ttl_remaining("p-001").is_err());
}

#[test]
fn a_server_that_dies_in_mid_load_costs_only_the_fill() {
    let server = std::cell::RefCell::new(Server::start());
    let cache = cache(impatient(&server.borrow().url()));
    let found = cache
        .get("p-001", |id| {
            server.borrow_mut().kill();
            load_loaf(id)
        })
        .unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(**found.record().unwrap(), loaf());
    server.borrow_mut().start_again();
    // On a busy machine, a connection may take longer than a refusal usually does.
    until(|| cache.get("other", load_loaf).unwrap().source() != Source::Degraded);
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
}

#[test]
fn after_a_restart_of_the_server_no_lookup_is_degraded() {
    let mut server = Server::start();
    let cache = cache(impatient(&server.url()));
    // Several pooled connections, all of which the restart breaks.
    thread::scope(|scope| {
        for id in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                cache.get(id, |id| {
                    thread::sleep(Duration::from_millis(20));
                    load_loaf(id)
                })
            });
        }
    });
    server.kill();
    server.start_again();
    for id in 0..8 {
        let found = cache.get(id, load_loaf).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_server_that_does_not_answer_delays_a_lookup_by_no_more_than_the_timeouts() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    cache.get("p-001", load_loaf).unwrap();
    server.freeze();
    let began = Instant::now();
    assert_degraded(&cache);
    let elapsed = began.elapsed();
    assert!(elapsed >= TIMEOUT && elapsed < 5 * TIMEOUT, "{elapsed:?}");
    server.thaw();
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
}

/// A server that answers the first request too late. That reply must not answer the second request.
#[test]
fn a_connection_on_which_a_request_timed_out_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    // One thread for each connection: the pool also opens some to look at the address.
    thread::spawn(move || {
        let requests = Arc::new(AtomicU32::new(0));
        for client in listener.incoming() {
            let requests = Arc::clone(&requests);
            thread::spawn(move || answer(client.unwrap(), &requests));
        }
    });
    let cache = cache(impatient(&url).pool_size(1));
    assert_degraded(&cache);
    thread::sleep(2 * TIMEOUT);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert!(found.is_hit());
    assert_eq!(found.record().unwrap().get("name"), Some("right reply"));
}

/// Answers the first request of all connections too late, and the others at once. It does what
/// `build` asks.
fn answer(mut client: TcpStream, requests: &AtomicU32) {
    let mut request = [0; 4096];
    let Ok(bytes @ 1..) = client.read(&mut request) else {
        return;
    };
    // It does not identify itself, and is then not asked for `INFO` again.
    let asks_for_info = request[..bytes].windows(4).any(|word| word == b"INFO");
    let greeting: &[u8] = if asks_for_info {
        b"*0\r\n$-1\r\n"
    } else {
        b"*0\r\n"
    };
    client.write_all(greeting).unwrap();
    let mut check = Vec::new();
    while let Ok(bytes @ 1..) = client.read(&mut request) {
        // The check of `build`: scripts, and the call of one that no server knows.
        if !check.is_empty() || request[..bytes].windows(6).any(|word| word == b"SCRIPT") {
            check.extend_from_slice(&request[..bytes]);
            let count = |word: &[u8]| check.windows(word.len()).filter(|it| *it == word).count();
            if count(&[b'0'; 40]) > 0 {
                let replies = b"+OK\r\n".repeat(count(b"\r\nLOAD\r\n") + 1);
                client.write_all(&replies).unwrap();
            }
            continue;
        }
        if requests.fetch_add(1, SeqCst) == 0 {
            thread::sleep(2 * TIMEOUT);
            // The client has closed the connection by then, or should have.
            let _ = client.write_all(b"*2\r\n$4\r\nname\r\n$10\r\nlate reply\r\n");
        } else {
            let _ = client.write_all(b"*2\r\n$4\r\nname\r\n$11\r\nright reply\r\n");
        }
    }
}

#[test]
fn a_pool_without_a_free_connection_degrades_the_lookup() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()).pool_size(1));
    cache.get("p-001", load_loaf).unwrap();
    // An update holds the one connection while its closure runs.
    cache
        .update("p-001", |_| {
            assert_degraded(&cache);
            let error = cache.invalidate("p-001").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("request `invalidate` to {} failed", server.place())
            );
            assert_eq!(
                error.source().unwrap().to_string(),
                "none of the pool's connections (1) was free in time"
            );
            None
        })
        .unwrap();
    // The invalidation is replayed when the connection is free again.
    until_recovered(&cache);
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

/// A broken connection that returns to the pool opens no new one. The waiters must ask for it.
#[test]
fn who_waits_for_a_connection_gets_a_new_one_when_the_old_one_breaks() {
    let server = Server::start();
    let patient = Redis::builder(server.url()).pool_size(1);
    let cache = cache(patient.checkout_timeout(Duration::from_secs(60)));
    cache.get("p-001", load_loaf).unwrap();
    let held = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            cache.update("p-001", |_| {
                held.wait();
                // Until the other one waits for the connection.
                thread::sleep(Duration::from_millis(300));
                panic!("the closure's own")
            })
        });
        held.wait();
        let began = Instant::now();
        assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
        // The panic itself may take a busy machine seconds, to print where it was.
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(panicking.join().is_err());
    });
}

#[test]
fn a_loader_that_hangs_without_redis_holds_up_the_others_for_a_while_only() {
    let refused = Redis::builder(format!("redis://127.0.0.1:{}", free_port()));
    let wait = Duration::from_secs(1);
    let cache: Cache = Cache::builder(refused)
        .prefix("test:")
        .wait_timeout(wait)
        .build()
        .unwrap();
    let hanging = std::sync::Barrier::new(2);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        // Dropped here, also by a panic, which releases the loader.
        let end = end;
        let (cache, hanging) = (&cache, &hanging);
        // A follower waits for this long from the start of the load, not of its own lookup.
        let began = Instant::now();
        scope.spawn(move || {
            cache.get("p-001", |id| {
                hanging.wait();
                let _ = ended.recv();
                load_loaf(id)
            })
        });
        hanging.wait();
        assert_degraded(cache);
        assert!(began.elapsed() >= wait);
        // A later caller need not find that out again.
        let began = Instant::now();
        assert_degraded(cache);
        assert!(began.elapsed() < wait);
        drop(end);
    });
}

#[test]
fn a_record_that_cannot_be_stored_is_returned_without_redis_too() {
    let cache = cache_without_redis(impatient);
    let own = || cache_aside::Record::from([("__cache_aside_x", "1")]);
    let found = cache.get("p-001", |_| Ok::<_, std::convert::Infallible>(Some(own())));
    let found = found.unwrap();
    assert_eq!(found.source(), Source::Degraded);
    assert_eq!(**found.record().unwrap(), own());
}

#[test]
fn a_full_server_costs_only_the_fill_and_leaves_no_key_without_a_ttl() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    cache.get("p-001", load_loaf).unwrap();
    let mut direct = server.connect();
    for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
        let set = redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .exec(&mut direct);
        set.unwrap();
    }
    // A cached record can be read and invalidated; a missing one is loaded.
    assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
    assert!(cache.invalidate("p-001").unwrap());
    assert_degraded(&cache);
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

#[test]
fn a_wrong_password_is_refused_at_the_start() {
    let server = Server::start_with(&["--requirepass", "right"]);
    let wrong = format!("{}?pass=wrong", server.admin_url());
    for url in [server.admin_url(), wrong] {
        let error = Redis::builder(url).build().unwrap_err();
        assert!(matches!(
            error,
            Error::Store {
                request: "connect",
                ..
            }
        ));
        let message = chain(&error);
        let words = ["WRONGPASS", "NOAUTH"];
        assert!(words.iter().any(|word| message.contains(word)), "{message}");
        assert!(!message.contains("pass="), "{message}");
    }
    let right = format!("{}?pass=right", server.admin_url());
    assert!(Redis::builder(right).build().is_ok());
}

#[test]
fn a_user_who_may_not_run_scripts_is_refused_at_the_start() {
    let server = Server::start();
    server.expect_denials();
    let added = redis::cmd("ACL")
        .arg("SETUSER")
        .arg(&["reader", "on", ">secret", "~*", "+@read"])
        .exec(&mut server.connect());
    added.unwrap();
    let url = format!("{}?user=reader&pass=secret", server.admin_url());
    let error = Redis::builder(url).build().unwrap_err();
    let message = chain(&error);
    // From 7.0 the message names `script|load`.
    assert!(
        message.contains("no permissions to run the 'script"),
        "{message}"
    );
    assert_eq!(message.matches("'script").count(), 1, "{message}");
}

#[test]
fn a_loading_cache_without_redis_has_its_hard_timeout_and_its_limit_of_loads() {
    let mut server = Server::start_on_port();
    let builder = Cache::builder(impatient(&server.url())).prefix("test:");
    let cache: Cache = builder.max_loads(1).build().unwrap();
    server.kill();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let builder = LoadingCache::builder(&cache, move |id| {
        if id == "slow" {
            let _ = ended.lock().unwrap().recv();
        }
        load_loaf(id)
    });
    let builder = builder.hard_timeout(Duration::from_secs(2));
    let products = builder.build().unwrap();
    assert_eq!(products.get("p-001").unwrap().source(), Source::Degraded);
    assert!(products.get("p-001").unwrap().degraded_cause().is_some());
    for id in ["slow", "slow", "p-001"] {
        assert!(matches!(products.get(id), Err(Error::LoadTimeout { .. })));
    }
    assert_eq!((cache.stats().loads, cache.stats().load_timeouts), (3, 3));
    drop(end);
    until(|| products.get("p-001").is_ok());
    assert!(products.shutdown(Duration::from_secs(20)));
}
