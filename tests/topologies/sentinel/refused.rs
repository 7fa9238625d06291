//! The errors of `build` for sentinels that lead nowhere.

use std::time::{Duration, Instant};

use cache_aside::{Error, Redis};

use crate::{
    sentinel_set::{NAME, SentinelSet, url_of},
    support::{Server, chain, free_port},
};

fn failure(url: &str) -> String {
    let began = Instant::now();
    let error = Redis::builder(url).require_connection(true).build();
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Redis { .. }), "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    chain(&error)
}

#[test]
fn a_name_that_no_sentinel_knows_is_reported() {
    let set = SentinelSet::start();
    let ports = set.sentinels.iter().map(|sentinel| sentinel.port);
    let url = url_of(ports, "shoop");
    assert!(Redis::builder(&*url).build().is_err());
    let error = failure(&url);
    println!("{error}");
    for sentinel in &set.sentinels {
        let complaint = format!(
            "127.0.0.1:{}: it knows no master with the name `shoop`",
            sentinel.port
        );
        assert!(error.contains(&complaint), "{error}");
    }
}

#[test]
fn sentinels_that_do_not_answer_are_named_without_the_password() {
    let (one, two) = (free_port(), free_port());
    let error = failure(&format!(
        "redis+sentinel://me:secret@127.0.0.1:{one},127.0.0.1:{two}/{NAME}"
    ));
    println!("{error}");
    for port in [one, two] {
        assert!(error.contains(&format!("127.0.0.1:{port}: ")), "{error}");
    }
    assert!(
        error.contains("master `shop` failed: no sentinel says where the master is"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_master_that_is_gone_is_reported_with_its_address() {
    let mut set = SentinelSet::start();
    set.servers[0].kill();
    let port = set.servers[0].port();
    let error = failure(&set.url());
    println!("{error}");
    assert!(
        error.contains(&format!("master `shop` at 127.0.0.1:{port} failed: ")),
        "{error}"
    );
}

#[test]
fn a_master_that_has_been_demoted_by_hand_is_not_used() {
    let mut set = SentinelSet::start();
    for sentinel in &mut set.sentinels[1..] {
        sentinel.kill();
    }
    let cache = set.cache();
    cache.get("p", crate::support::load_loaf).unwrap();
    // The remaining sentinel must not change anything by itself.
    let mut direct = set.servers[0].connect();
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(set.servers[1].port());
    follow.exec(&mut direct).unwrap();
    assert!(cache.invalidate("p").is_err());
    let error = failure(&set.url());
    println!("{error}");
    assert!(
        error.contains("the server says that it is a replica"),
        "{error}"
    );
}

#[test]
fn a_server_that_is_no_sentinel_is_reported() {
    let server = Server::start_on_port();
    let error = failure(&url_of([server.port()].into_iter(), NAME));
    println!("{error}");
    assert!(error.contains("SENTINEL"), "{error}");
    assert!(error.contains("it is not a Sentinel"), "{error}");
}
