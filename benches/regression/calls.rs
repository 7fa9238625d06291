//! One thread's hits, misses and invalidations, compared with the same bare commands.

use std::{hint::black_box, time::Duration};

use cache_aside::{Cache, Source};

use crate::{
    bare::Bare,
    support::{Server, load_loaf},
    times::{in_turn, timed},
};

/// Measures hits, misses and invalidations.
pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let cache = || -> Cache {
        let cache = server.builder().ttl(Duration::from_secs(60 * 60));
        cache.build().unwrap()
    };
    let (cache, writer) = (cache(), cache());
    // A separate connection for each bare call, so that they share no buffers.
    let [mut for_hit, mut for_miss, mut for_del] = [(); 3].map(|()| Bare::new(&server));
    let cold = |call: &mut dyn FnMut()| {
        writer.invalidate("p-001").unwrap();
        timed(call)
    };
    let get = |source| assert_eq!(cache.get("p-001", load_loaf).unwrap().source(), source);
    let [bare_hit, hit, bare_miss, miss, bare_del, invalidate] = in_turn(
        if in_earnest { 4_000 } else { 2 },
        // Restores the record after the round's invalidations.
        |_| drop(writer.get("p-001", load_loaf).unwrap()),
        [
            Box::new(|| timed(|| drop(black_box(for_hit.hgetall())))),
            Box::new(|| timed(|| get(Source::Hit))),
            Box::new(|| cold(&mut || for_miss.miss())),
            Box::new(|| cold(&mut || get(Source::Loaded))),
            Box::new(|| timed(|| for_del.del())),
            Box::new(|| timed(|| assert!(!cache.invalidate("p-001").unwrap()))),
        ],
    );
    vec![hit / bare_hit, miss / bare_miss, invalidate / bare_del]
}
