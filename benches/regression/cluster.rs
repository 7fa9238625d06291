//! Batches of hits on three masters, compared with the same batches on one server.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Lookup, Record};

use crate::{
    support::{Server, load_loaf},
    test_cluster::Cluster,
    times::{Call, in_turn, timed},
};

const LONG: Duration = Duration::from_secs(60 * 60);

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let (server, cluster) = (Server::start_on_port(), Cluster::start(3, 0));
    let caches: [Cache; 2] =
        [server.builder(), cluster.builder()].map(|builder| builder.ttl(LONG).build().unwrap());
    let ids: Vec<_> = (0..100).map(|id| format!("p-{id:03}")).collect();
    for id in &ids {
        for cache in &caches {
            cache.get(id, load_loaf).unwrap();
        }
    }
    let none = |_: &[&str]| Ok::<_, Infallible>(Vec::<(String, Record)>::new());
    let hits = |cache: &Cache, ids: &[String]| {
        timed(|| {
            let found = cache.get_many(ids, none).unwrap();
            assert!(found.iter().all(Lookup::is_hit));
        })
    };
    let ratio_of = |rounds, ids: &[String]| {
        let calls = caches.each_ref();
        let calls = calls.map(|cache| Box::new(move || hits(cache, ids)) as Call<'_>);
        let [one, three] = in_turn(if in_earnest { rounds } else { 2 }, |_| {}, calls);
        three / one
    };
    vec![ratio_of(1_000, &ids[..10]), ratio_of(200, &ids)]
}
