//! What threads do with locks and wake-ups, under every schedule.
//!
//! The files of `src` themselves, with `sync.rs` beside this file in place of the crate's. Where no time passes, all
//! schedules of a few threads are tried, one by one; where waits may time out or threads are many, very many at
//! random. A lost wake-up leaves a thread waiting for ever, which `shuttle` reports as a deadlock.

#[expect(dead_code, reason = "the store uses the rest")]
#[path = "../../src/redis/request_batcher/mod.rs"]
mod request_batcher;
#[expect(dead_code, reason = "the read path uses the rest")]
#[path = "../../src/engine/single_flight.rs"]
mod single_flight;

mod calls;
mod queue;
mod sync;
#[path = "../../src/util/wakeup.rs"]
mod wakeup;

/// What the files of `src` know as `util`.
mod util {
    pub(crate) use crate::{sync, wakeup};
}
