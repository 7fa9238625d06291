//! Calls over a slow network, in round trips: the time of a `PING` by redis-rs.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Source};

use crate::{
    slow_network,
    support::{Server, load_loaf},
    times::{in_turn, timed},
};

const ROUND_TRIP: Duration = Duration::from_millis(2);

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let port = slow_network::before(server.port(), ROUND_TRIP);
    let url = format!("redis://127.0.0.1:{port}");
    let cache = Cache::builder(&*url).prefix("test:");
    let cache: Cache = cache.ttl(Duration::from_secs(60 * 60)).build().unwrap();
    let client = redis::Client::open(url).unwrap();
    let mut bare = client.get_connection().unwrap();
    let get = |id: &str, source| {
        let found = cache.get(id, load_loaf).unwrap();
        assert_eq!(found.source(), source);
    };
    cache.get("cached", load_loaf).unwrap();
    let [ping, hit, miss, write] = in_turn(
        if in_earnest { 100 } else { 2 },
        |_| _ = cache.invalidate("missing").unwrap(),
        [
            Box::new(|| timed(|| redis::cmd("PING").exec(&mut bare).unwrap())),
            Box::new(|| timed(|| get("cached", Source::Hit))),
            Box::new(|| timed(|| get("missing", Source::Loaded))),
            Box::new(|| {
                timed(|| {
                    let written = cache.write("written", || Ok::<_, Infallible>(())).unwrap();
                    assert!(written.invalidation_error().is_none());
                })
            }),
        ],
    );
    vec![hit / ping, miss / ping, write / ping]
}
