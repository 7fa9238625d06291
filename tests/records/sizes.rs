//! Values that Redis would not accept are rejected before they are sent.

use crate::support::{Server, load_loaf};
use cache_aside::Error;

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
            let Err(Error::InvalidId { reason: why, .. }) = refusal else {
                panic!("{refusal:?}");
            };
            assert_eq!(why, reason);
        }
    }
    assert_eq!(commands() - idle, 2 * of_asking);
}

#[test]
fn a_value_longer_than_redis_takes_is_refused_before_it_is_sent() {
    let server = Server::start();
    let cache = server.cache();
    // Zeroes without physical memory behind them.
    let value = vec![0; (512 << 20) + 1];
    let refused = cache.update_field("p-001", "photo", &value).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the record's field `photo` cannot be stored: it is longer than 512 MiB, the longest that Redis takes"
    );
    assert_eq!(cache.stats().store_errors, 0);
}
