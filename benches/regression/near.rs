//! Near hits, compared with a `get` of their map plus one reading of the clock. The cost of the
//! clock depends on the machine.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use crate::{
    support::{Server, load_loaf, loaf, until},
    times::{fastest_in_turn, timed_each},
};

const RECORDS: usize = 1_000;

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let cache = server.builder().near_cache(10 * RECORDS);
    let cache: Cache = cache.ttl(Duration::from_secs(60 * 60)).build().unwrap();
    until(|| cache.stats().tracking_live);
    let bare = quick_cache::sync::Cache::new(10 * RECORDS);
    let ids: Vec<_> = (0..RECORDS).map(|id| format!("p-{id:03}")).collect();
    for id in &ids {
        bare.insert(id.clone(), Arc::new(loaf()));
    }
    // The pushes of the loads themselves may be late.
    until(|| {
        let is_near = |id: &String| cache.get(id, load_loaf).unwrap().source() == Source::Near;
        ids.iter().filter(|id| is_near(id)).count() == RECORDS
    });
    let mut each = ids.iter().cycle();
    let mut bare_each = ids.iter().cycle();
    let [bare, clock, near] = fastest_in_turn(
        if in_earnest { 1_000 } else { 2 },
        [
            Box::new(|| {
                timed_each(1_000, || {
                    drop(black_box(bare.get(bare_each.next().unwrap())));
                })
            }),
            Box::new(|| {
                timed_each(1_000, || {
                    black_box(Instant::now());
                })
            }),
            Box::new(|| {
                timed_each(1_000, || {
                    let found = cache.get(each.next().unwrap(), load_loaf).unwrap();
                    assert_eq!(black_box(found).source(), Source::Near);
                })
            }),
        ],
    );
    vec![near / (bare + clock)]
}
