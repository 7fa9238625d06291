//! What a lookup returns and says about itself.

mod support;

use std::{convert::Infallible, io};

use cache_aside::{Error, Record, Source};
use support::{Server, load_loaf};

fn never(_: &str) -> Result<Option<Record>, io::Error> {
    panic!("this lookup must not load")
}

#[test]
fn a_miss_loads_and_the_next_lookup_hits() {
    let server = Server::start();
    let cache = server.cache();

    let first = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(first.source(), Source::Loaded);
    assert!(!first.is_hit());
    assert_eq!(first.record().unwrap().get("stock"), Some("42"));

    let second = cache.get("p-001", never).unwrap();
    assert_eq!(second.source(), Source::Hit);
    assert!(second.is_hit());
    assert!(second.redis_latency() > std::time::Duration::ZERO);
    let record = second.into_record().unwrap();
    assert_eq!(
        record.names().collect::<Vec<_>>(),
        ["id", "name", "price_cents", "stock"]
    );
}

#[test]
fn the_loader_gets_the_id_and_may_borrow() {
    let server = Server::start();
    let asked = std::cell::RefCell::new(Vec::new());
    server
        .cache()
        .get("p-001", |id| {
            asked.borrow_mut().push(id.to_owned());
            load_loaf(id)
        })
        .unwrap();
    assert_eq!(*asked.borrow(), ["p-001"]);
}

#[test]
fn no_record_is_an_answer_and_leaves_nothing_behind() {
    let server = Server::start();
    let found = server
        .cache()
        .get("p-009", |_| Ok::<_, Infallible>(None))
        .unwrap();
    assert!(found.record().is_none());
    assert_eq!(found.source(), Source::Loaded);
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(keys, [""; 0]);
}

#[test]
fn an_empty_id_is_refused() {
    let server = Server::start();
    let error = server.cache().get("", never).unwrap_err();
    assert!(matches!(error, Error::Id { .. }));
    assert_eq!(error.to_string(), "the id is unusable: it is empty");
}
