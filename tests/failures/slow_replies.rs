//! Replies that never end: they arrive byte by byte, or without an end. No call waits for them, and
//! none takes the memory that they announce.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Record, Redis, RedisBuilder, Source};

use crate::{
    fake,
    support::{Server, chain, free_port, load_loaf},
};

/// Between two pieces: shorter than any timeout.
const PAUSE: Duration = Duration::from_millis(20);

/// The bound of each call here is below one second. The rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

fn hasty(port: u16, protocol: &str) -> RedisBuilder {
    let millis = Duration::from_millis;
    Redis::builder(format!("redis://127.0.0.1:{port}/{protocol}"))
        .connect_timeout(millis(200))
        .io_timeout(millis(100))
        .request_timeout(SHORT)
        .max_reply_size(2 << 20)
}

/// Sends this piece again and again, until the client closes the connection.
fn trickle(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(piece)?;
        thread::sleep(PAUSE);
    }
}

/// The times of a request, where they are the subject and where they are not.
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// What a cache says of a server that answers `HGETALL` in this way, within the bound.
fn cause_of(
    protocol: &str,
    request: Duration,
    reply: fn(&mut TcpStream) -> io::Result<()>,
) -> String {
    let port = free_port();
    fake::serve(port, move |words, stream| match &*words[0] {
        "HGETALL" => reply(stream),
        _ => stream.write_all(fake::usual(words).as_bytes()),
    });
    let mut redis = hasty(port, protocol).request_timeout(request);
    if request == LONG {
        redis = redis.io_timeout(LONG).checkout_timeout(LONG);
    }
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let began = Instant::now();
    let found = cache.get("p-001", load_loaf).unwrap();
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(found.record().is_some());
    chain(found.degraded_cause().expect("no reply is complete"))
}

#[test]
fn a_reply_that_arrives_byte_by_byte_is_waited_for_no_longer_than_for_a_request() {
    let cause = cause_of("", SHORT, |stream| trickle(stream, b"+"));
    assert!(cause.contains("no answer within 200ms"), "{cause}");
}

#[test]
fn pushes_in_the_place_of_a_reply_are_read_no_longer_than_for_a_request() {
    let push = |stream: &mut TcpStream| trickle(stream, b">2\r\n+message\r\n+x\r\n");
    let cause = cause_of("?protocol=resp3", SHORT, push);
    assert!(cause.contains("no answer within 200ms"), "{cause}");
}

#[test]
fn a_reply_without_an_end_is_refused_when_it_is_announced_or_becomes_too_large() {
    type Reply = fn(&mut TcpStream) -> io::Result<()>;
    let replies: [Reply; 4] = [
        |stream| endless(stream, b"*9223372036854775807\r\n", b":1\r\n"),
        |stream| endless(stream, b"*1000000000\r\n", b":1\r\n"),
        |stream| endless(stream, b"$500000000\r\n", b"x"),
        |stream| endless(stream, b"+", b"x"),
    ];
    for reply in replies {
        let cause = cause_of("", LONG, reply);
        assert!(cause.contains("`max_reply_size`"), "{cause}");
    }
}

fn endless(stream: &mut TcpStream, begin: &[u8], piece: &[u8]) -> io::Result<()> {
    stream.write_all(begin)?;
    let much = piece.repeat(10_000);
    loop {
        stream.write_all(&much)?;
    }
}

#[test]
fn a_server_whose_first_reply_arrives_byte_by_byte_is_not_waited_for() {
    let port = free_port();
    fake::serve(port, |_, stream| trickle(stream, b"+"));
    let began = Instant::now();
    let built = hasty(port, "").require_connection(true).build();
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(matches!(built, Err(Error::Store { .. })), "{built:?}");
}

#[test]
fn a_near_cache_whose_changes_arrive_byte_by_byte_is_dropped_at_once() {
    let port = free_port();
    fake::serve(port, |words, stream| match &*words[0] {
        "PING" => trickle(stream, b"+"),
        _ => stream.write_all(fake::usual(words).as_bytes()),
    });
    let cache = Cache::builder(hasty(port, "")).prefix("test:");
    let cache: Cache = cache.near_cache(10).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let began = Instant::now();
    drop(cache);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

#[test]
fn a_record_larger_than_a_reply_may_be_is_degraded_and_no_other_record_is() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).max_reply_size(2 << 20);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("small", load_loaf).unwrap();
    let photo = "x".repeat(3 << 20);
    let mut client = server.connect();
    let set = redis::cmd("HSET")
        .arg("test:large")
        .arg("photo")
        .arg(photo)
        .exec(&mut client);
    set.unwrap();
    // More often than the breaker's threshold.
    for _ in 0..12 {
        let found = cache.get("large", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Degraded);
        let cause = chain(found.degraded_cause().unwrap());
        assert!(cause.contains("`max_reply_size`"), "{cause}");
    }
    assert_eq!(cache.get("small", load_loaf).unwrap().source(), Source::Hit);
    assert!(cache.invalidate("large").unwrap(), "there was a record");
    assert_eq!(
        cache.get("large", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

#[test]
fn a_record_larger_than_a_reply_may_be_is_returned_and_not_cached() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).max_reply_size(2 << 20);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let load = |_: &str| {
        let photo = "x".repeat(3 << 20);
        Ok::<_, Infallible>(Some(Record::from([("photo", photo)])))
    };
    for _ in 0..2 {
        let found = cache.get("large", load).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
    let load_each = |ids: &[&str]| {
        let rows = ids
            .iter()
            .map(|id| ((*id).to_owned(), load(id).unwrap().unwrap()));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    cache.get_many(["large", "other"], load_each).unwrap();
    let mut direct = server.connect();
    let stored: u64 = redis::cmd("EXISTS")
        .arg("test:large")
        .query(&mut direct)
        .unwrap();
    assert_eq!(stored, 0);
}
