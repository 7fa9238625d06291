//! Locks and wake-ups between threads, under every schedule.
//!
//! Compiles the files of `src` with the `sync.rs` beside this file instead of the crate's. Where no
//! time passes, all schedules of a few threads are tried. Where waits may time out, or threads are
//! many, very many random schedules are tried. A lost wake-up leaves a thread waiting for ever,
//! which `shuttle` reports as a deadlock.

#[expect(dead_code, reason = "the read path uses the rest")]
#[path = "../../src/engine/load_limit.rs"]
mod load_limit;
#[expect(dead_code, reason = "the store uses the rest")]
#[path = "../../src/redis/request_batcher/mod.rs"]
mod request_batcher;
#[expect(dead_code, reason = "the read path uses the rest")]
#[path = "../../src/engine/single_flight.rs"]
mod single_flight;

mod calls;
mod permits;
mod queue;
mod sync;
#[path = "../../src/util/wakeup.rs"]
mod wakeup;

/// The `util` module that the files of `src` import.
mod util {
    pub(crate) use crate::{sync, wakeup};
}
