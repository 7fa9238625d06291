//! More replies than requests: a proxy or a broken server sends one twice. The surplus reply must not
//! become the reply to the next request.

use std::{
    convert::Infallible,
    io::Write,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Record, Redis};

use crate::{fake, support::free_port};

/// For a reply of a busy machine.
const LONG: Duration = Duration::from_secs(10);

/// The reply with the record of this key. It names the key.
fn record_of(key: &str) -> String {
    fake::texts(&["key", key])
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns a result")]
fn load(id: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(Record::from([("key", format!("test:{id}"))])))
}

fn cache_of(port: u16) -> Cache {
    let redis = Redis::builder(format!("redis://127.0.0.1:{port}")).io_timeout(LONG);
    // One connection, so that each request follows the one before.
    let cache = Cache::builder(redis.pool_size(1)).prefix("test:");
    cache.build().unwrap()
}

fn assert_right(cache: &Cache, id: &str) {
    let found = cache.get(id, load).unwrap();
    let record = found.record().unwrap();
    assert_eq!(
        record.get("key"),
        Some(&*format!("test:{id}")),
        "{:?}",
        found.source()
    );
}

#[test]
fn a_reply_that_comes_twice_is_not_the_reply_to_the_next_request() {
    let port = free_port();
    fake::serve(port, |words, stream| match &*words[0] {
        "HGETALL" => stream.write_all(record_of(&words[1]).repeat(2).as_bytes()),
        _ => stream.write_all(fake::usual(words).as_bytes()),
    });
    let cache = cache_of(port);
    for id in ["a", "b", "c", "a"] {
        assert_right(&cache, id);
    }
    let found = cache.get_many(["a", "b", "c"], |ids: &[&str]| {
        let rows = ids
            .iter()
            .map(|id| ((*id).to_owned(), load(id).unwrap().unwrap()));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    });
    for (found, id) in found.unwrap().iter().zip(["a", "b", "c"]) {
        let record = found.record().unwrap();
        assert_eq!(record.get("key"), Some(&*format!("test:{id}")));
    }
}

/// The copy of an earlier reply takes the place of the last reply of a request of two commands, and
/// that one arrives only later.
#[test]
fn a_late_copy_of_a_reply_between_two_others_is_not_taken_for_one_of_them() {
    let port = free_port();
    let earlier = Mutex::new(String::new());
    fake::serve(port, move |words, stream| match &*words[0] {
        "PTTL" => {
            let copy = std::mem::take(&mut *earlier.lock().unwrap());
            stream.write_all(format!(":60000\r\n{copy}").as_bytes())
        }
        "HGETALL" => {
            let reply = record_of(&words[1]);
            // So that the client reads the copy first.
            thread::sleep(Duration::from_millis(20));
            if words[1] != "test:other" {
                earlier.lock().unwrap().clone_from(&reply);
            }
            stream.write_all(reply.as_bytes())
        }
        "PING" if words.len() == 2 => {
            stream.write_all(format!("${}\r\n{}\r\n", words[1].len(), words[1]).as_bytes())
        }
        _ => stream.write_all(fake::usual(words).as_bytes()),
    });
    let cache = cache_of(port);
    // A lookup that asks for the TTL too.
    let young = || cache.options().ttl(Duration::from_mins(1)).max_age(LONG);
    for id in ["a", "b", "c"] {
        assert_right(&cache, id);
        let found = young().get("other", load).unwrap();
        let record = found.record().unwrap();
        assert_eq!(record.get("key"), Some("test:other"), "after {id}");
        assert!(found.is_hit());
    }
}

/// A server that cannot save its data answers reads and refuses a `PING`. Some proxies answer a
/// `PING` themselves.
#[test]
fn a_batch_needs_no_answer_to_its_ping() {
    for answer in [
        "-MISCONF x\r\n",
        "-NOPERM x\r\n",
        "-ERR unknown command 'PING'\r\n",
        "-ERR wrong number of arguments for 'ping' command\r\n",
        "+PONG\r\n",
    ] {
        let port = free_port();
        fake::serve(port, move |words, stream| match &*words[0] {
            "HGETALL" => stream.write_all(record_of(&words[1]).as_bytes()),
            "PING" if words.len() == 2 => stream.write_all(answer.as_bytes()),
            _ => stream.write_all(fake::usual(words).as_bytes()),
        });
        let none = |_: &[&str]| Ok::<_, Infallible>(Vec::<(String, Record)>::new());
        let found = cache_of(port).get_many(["a", "b"], none).unwrap();
        assert!(found.iter().all(cache_aside::Lookup::is_hit), "{answer}");
    }
}

#[test]
fn a_reply_that_comes_again_while_the_connection_is_idle_is_not_the_reply_to_the_next_request() {
    let port = free_port();
    let (first_is_read, read) = mpsc::channel::<()>();
    let (send, again) = mpsc::channel::<()>();
    let (read, send) = (Mutex::new(Some(read)), Mutex::new(send));
    fake::serve(port, move |words, stream| {
        if words[0] != "HGETALL" {
            return stream.write_all(fake::usual(words).as_bytes());
        }
        let reply = record_of(&words[1]);
        stream.write_all(reply.as_bytes())?;
        // Only the first reply comes again, after the client has read it.
        let read = read.lock().unwrap().take();
        if let Some(read) = read {
            read.recv().unwrap();
            stream.write_all(reply.as_bytes())?;
            send.lock().unwrap().send(()).unwrap();
        }
        Ok(())
    });
    let cache = cache_of(port);
    assert_right(&cache, "a");
    first_is_read.send(()).unwrap();
    again.recv().unwrap();
    assert_right(&cache, "b");
    assert_right(&cache, "a");
}
