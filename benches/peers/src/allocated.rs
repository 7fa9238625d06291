//! Counts allocations in the whole process, because some peers work on their own threads.
//!
//! Counting costs each allocation two atomic additions, the same for all peers.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes the call requested.
pub(crate) fn bytes_during(call: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    call();
    region.change().bytes_allocated
}

/// How many more bytes are held after the call than before.
pub(crate) fn kept_by<T>(make: impl FnOnce() -> T) -> (T, isize) {
    let region = Region::new(ALLOCATOR);
    let thing = make();
    let change = region.change();
    let kept = change
        .bytes_allocated
        .wrapping_sub(change.bytes_deallocated);
    (thing, kept.cast_signed())
}
