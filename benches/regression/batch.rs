//! A batch of hits, compared with as many single ones.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Record};

use crate::{
    support::{Server, load_loaf},
    times::{in_turn, timed},
};

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let cache = server.builder().ttl(Duration::from_secs(60 * 60));
    let cache: Cache = cache.build().unwrap();
    let ids: Vec<_> = (0..100).map(|id| format!("p-{id:03}")).collect();
    for id in &ids {
        cache.get(id, load_loaf).unwrap();
    }
    let none = |_: &[&str]| Ok::<_, Infallible>(Vec::<(String, Record)>::new());
    let [singles, batch] = in_turn(
        if in_earnest { 200 } else { 2 },
        |_| {},
        [
            Box::new(|| {
                timed(|| {
                    for id in &ids {
                        assert!(cache.get(id, load_loaf).unwrap().is_hit());
                    }
                })
            }),
            Box::new(|| {
                timed(|| {
                    let found = cache.get_many(&ids, none).unwrap();
                    assert!(found.iter().all(cache_aside::Lookup::is_hit));
                })
            }),
        ],
    );
    vec![singles / batch]
}
