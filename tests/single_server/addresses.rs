//! What an address may contain: a user, a database, a protocol.

use std::{convert::Infallible, thread, time::Duration};

use crate::support::{Server, acl, chain, load_loaf, until};
use cache_aside::{Cache, Record, Redis, Source};
use redis::{Commands, cmd};

/// The address of this server on this port, for a user whose password needs escaping in a URL.
fn url_of_somebody(server: &Server, end: &str) -> String {
    let mut rules = acl::words(&["test:"]);
    rules.extend(["on", ">p@ss/word", "+select"].map(str::to_owned));
    let mut command = cmd("ACL");
    command.arg("SETUSER").arg("somebody").arg(rules);
    command.exec(&mut server.connect()).unwrap();
    format!(
        "redis://somebody:p%40ss%2Fword@127.0.0.1:{}{end}",
        server.port()
    )
}

#[test]
fn a_user_reads_and_writes_another_database_and_hears_of_its_changes() {
    let server = Server::start_on_port();
    for end in ["/3", "/3?protocol=resp3"] {
        let url = url_of_somebody(&server, end);
        let cache = || Cache::builder(&*url).prefix("test:");
        let near: Cache = cache().near_cache(10).build().unwrap();
        let other: Cache = cache().build().unwrap();
        until(|| near.stats().tracking_live);
        for price in ["1", "2", "3"] {
            let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("price", price)])));
            // A near record may stay until the push has arrived.
            until(|| {
                let found = near.get("p", load).unwrap();
                let is_new = found.record().unwrap().get("price") == Some(price);
                found.source() == Source::Near && is_new
            });
            let mut direct = server.connect();
            cmd("SELECT").arg(3).exec(&mut direct).unwrap();
            assert!(direct.exists::<_, bool>("test:p").unwrap());
            assert!(!server.connect().exists::<_, bool>("test:p").unwrap());
            assert!(other.invalidate("p").unwrap());
            until(|| other.peek("p").unwrap().is_none() && near.peek("p").unwrap().is_none());
        }
    }
}

/// Redis pushes the names of keys of any database, so a near record may be evicted without need.
#[test]
fn a_change_in_another_database_is_heard_and_does_no_harm() {
    let server = Server::start_on_port();
    let third = url_of_somebody(&server, "/3");
    let near = Cache::builder(third).prefix("test:").near_cache(10);
    let near: Cache = near.build().unwrap();
    until(|| near.get("p", load_loaf).unwrap().source() == Source::Near);
    let _: () = server.connect().set("test:p", "of another").unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(
        near.get("p", load_loaf)
            .unwrap()
            .record()
            .unwrap()
            .get("stock"),
        Some("42")
    );
}

/// In the words of the server.
#[test]
fn a_wrong_password_is_reported_at_the_start_and_not_repeated() {
    let server = Server::start_on_port();
    for end in ["", "?protocol=resp3"] {
        let url = url_of_somebody(&server, end).replace("word@", "wort@");
        let error = Cache::<Record>::builder(url).prefix("test:").build();
        let error = chain(&error.unwrap_err());
        assert!(error.contains("WRONGPASS"), "{error}");
        assert!(error.contains("user is disabled"), "{error}");
        assert!(!error.contains("wort"), "{error}");
    }
}

/// The server has none.
#[test]
fn a_password_that_is_not_needed_is_refused_in_the_words_of_the_server() {
    let server = Server::start_on_port();
    let url = format!("redis://:unneeded@127.0.0.1:{}", server.port());
    let error = Cache::<Record>::builder(url).prefix("test:").build();
    let error = chain(&error.unwrap_err());
    assert!(error.contains("without any password configured"), "{error}");
}

#[test]
fn a_full_server_is_away_also_if_a_password_is_sent() {
    let server = Server::start_on_port();
    let url = url_of_somebody(&server, "");
    let mut direct = server.connect();
    let mut admit = |clients: u32| {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("maxclients").arg(clients);
        set.exec(&mut direct).unwrap();
    };
    admit(1);
    for required in [true, false] {
        let redis = Redis::builder(&*url).require_connection(required).build();
        match redis {
            Ok(_) => assert!(!required),
            Err(error) => {
                assert!(required, "{error:#}");
                let error = chain(&error);
                // The server closes the connection, which may be noticed first.
                let words = [
                    "max number of clients",
                    "reset",
                    "end of file",
                    "Broken pipe",
                ];
                assert!(words.iter().any(|word| error.contains(word)), "{error}");
            }
        }
    }
    admit(1_000);
}

/// As templates, secrets and environment variables make them.
#[test]
fn an_address_with_an_empty_password_or_a_line_break_at_its_end_leads_to_the_server() {
    let (at_port, at_socket) = (Server::start_on_port(), Server::start());
    let port = at_port.port();
    let socket = at_socket.admin_url();
    for url in [
        format!("redis://127.0.0.1:{port}\n"),
        format!("redis://127.0.0.1:{port}/0\r\n"),
        format!(" redis://:@127.0.0.1:{port}"),
        format!("redis://default:@127.0.0.1:{port}/0"),
        format!("{socket}\n"),
        format!("{socket}?pass="),
        format!("{socket}?user=&pass=&db=2 "),
    ] {
        let redis = Redis::builder(&*url).require_connection(true).build();
        let cache = Cache::builder(redis.unwrap()).prefix("test:").build();
        let cache: Cache = cache.unwrap();
        cache.get("p", load_loaf).unwrap();
        assert!(cache.get("p", load_loaf).unwrap().is_hit(), "{url}");
        cache.invalidate("p").unwrap();
    }
}

#[test]
fn a_server_that_knows_resp2_only_does_without_pushes() {
    let server = Server::start_with(&["--rename-command", "HELLO", ""]);
    let cache: Cache = server.builder().tracking(true).build().unwrap();
    cache.get("p", load_loaf).unwrap();
    assert!(cache.get("p", load_loaf).unwrap().is_hit());
    assert!(cache.invalidate("p").unwrap());
    let url = server.url_with("protocol=resp3");
    let error = Cache::<Record>::builder(url).prefix("test:").build();
    let error = chain(&error.unwrap_err());
    assert!(error.contains("HELLO"), "{error}");
}
