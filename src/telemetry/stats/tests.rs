//! Tests of the counters.

use std::thread;

use super::*;
use crate::outcome::Source;

#[test]
fn what_many_threads_count_is_counted_once_each_and_all_of_it_is_reset() {
    const EACH: u64 = 1_000;
    let counters = Counters::default();
    for threads in [1, 100] {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        counters.near_hit(true);
                        counters.count(&Event::Answered {
                            id: "k",
                            source: Source::Refreshed,
                            found: true,
                            elapsed: std::time::Duration::ZERO,
                        });
                    }
                    counters.near_hit(false);
                });
            }
        });
        let stats = counters.snapshot();
        assert_eq!(stats.near_hits, threads * (EACH + 1));
        assert_eq!(stats.hits, stats.near_hits);
        assert_eq!(stats.negative_hits, threads);
        assert_eq!(stats.refreshes, threads * EACH);
        counters.reset();
        assert_eq!(counters.snapshot(), Stats::default());
    }
}
