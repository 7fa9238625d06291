//! Ids and values of every shape and size: each works, or is refused before anything is sent.

mod support;

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Error, Record, Redis, Source};
use serde::{Deserialize, Serialize};
use support::{Server, load_loaf, loaf};

/// Through every call, and back.
fn works(server: &Server, cache: &Cache, id: &str) {
    let shown: String = id.chars().take(40).collect();
    let found = cache.get(id, load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded, "{shown:?}");
    assert!(cache.get(id, load_loaf).unwrap().is_hit(), "{shown:?}");
    let exists: bool = redis::cmd("EXISTS")
        .arg(format!("test:{id}"))
        .query(&mut server.connect())
        .unwrap();
    assert!(exists, "{shown:?}");
    assert!(cache.update_field(id, "stock", "41").unwrap(), "{shown:?}");
    let write = cache.write(id, || Ok::<_, Infallible>(()));
    assert!(write.unwrap().deferred_by().is_none(), "{shown:?}");
    cache.get(id, load_loaf).unwrap();
    assert!(cache.invalidate(id).unwrap(), "{shown:?}");
}

#[test]
fn ids_of_every_shape_name_a_record() {
    let server = Server::start();
    let cache = server.cache();
    let long = "x".repeat(64 << 10);
    let ids = [
        " ",
        "a\0b",
        "line\nbreak",
        "\r\n",
        "{tag}rest",
        "{",
        "}",
        "{}",
        "}{",
        "Brötchen 🥖",
        "\u{202e}backwards",
        "*3\r\n$3\r\nDEL\r\n",
        "$-1\r\n",
        "+OK\r\n",
        "lock:{test:p-001}",
        "*",
        &long,
    ];
    for id in ids {
        works(&server, &cache, id);
    }
    assert_eq!(cache.stats().redis_errors, 0);
}

#[test]
fn ids_that_name_nothing_are_refused_and_nothing_is_sent() {
    let server = Server::start();
    let cache = server.cache();
    let too_long = "x".repeat((64 << 10) + 1);
    let commands = || -> u64 {
        let stats: String = redis::cmd("INFO")
            .arg("stats")
            .query(&mut server.connect())
            .unwrap();
        let count = stats.split("total_commands_processed:").nth(1).unwrap();
        count.lines().next().unwrap().parse().unwrap()
    };
    let idle = commands();
    let of_asking = commands() - idle;
    for (id, reason) in [
        ("", "it is empty"),
        (&*too_long, "it is longer than 64 KiB"),
    ] {
        let refusals = [
            cache.get(id, load_loaf).map(drop),
            cache.invalidate(id).map(drop),
            cache.update_field(id, "stock", "1").map(drop),
            cache.update(id, |_| None).map(drop),
            cache.ttl_remaining(id).map(drop),
        ];
        for refusal in refusals {
            let Err(Error::Id { reason: why }) = refusal else {
                panic!("{refusal:?}");
            };
            assert_eq!(why, reason);
        }
    }
    assert_eq!(commands() - idle, 2 * of_asking);
}

#[derive(Serialize, Deserialize)]
struct Blob {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

#[test]
fn values_of_32_mib_pass() {
    let server = Server::start();
    // The promise is that they pass, not that a busy machine is quick.
    let patient = Redis::builder(server.url()).io_timeout(Duration::from_secs(20));
    let builder = Cache::builder(patient).prefix("test:");
    let cache: Cache<Blob> = builder.build().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(32 << 20).collect();
    let load = |_: &str| {
        Ok::<_, Infallible>(Some(Blob {
            bytes: bytes.clone(),
        }))
    };
    cache.get("p-001", load).unwrap();
    let found = cache.get("p-001", load).unwrap();
    assert!(found.is_hit());
    assert!(found.record().unwrap().bytes == bytes);
    assert!(cache.update_field("p-001", "bytes", &bytes).unwrap());
    assert_eq!(cache.stats().redis_errors, 0);
}

#[test]
fn a_value_longer_than_redis_takes_is_refused_before_it_is_sent() {
    let server = Server::start();
    let cache = server.cache();
    // Zeroes that no memory stands behind.
    let value = vec![0; (512 << 20) + 1];
    let refused = cache.update_field("p-001", "photo", &value).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the record's field `photo` cannot be stored: it is longer than 512 MiB, the longest that Redis takes"
    );
    assert_eq!(cache.stats().redis_errors, 0);
}

#[test]
fn a_record_of_twenty_thousand_fields_passes() {
    let server = Server::start();
    let cache = server.cache();
    let record: Record = (0..20_000)
        .map(|n| (format!("field {n}"), n.to_string()))
        .collect();
    let load = |_: &str| Ok::<_, Infallible>(Some(record.clone()));
    cache.get("p-001", load).unwrap();
    let found = cache.get("p-001", load).unwrap();
    assert!(found.is_hit());
    assert_eq!(found.record().unwrap().len(), 20_000);
    assert!(cache.update("p-001", |_| Some(loaf())).unwrap());
    assert_eq!(
        **cache.get("p-001", load).unwrap().record().unwrap(),
        loaf()
    );
}
