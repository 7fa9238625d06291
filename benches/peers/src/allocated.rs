//! What is allocated, counted in the whole process: some of the peers work on threads of their own.
//!
//! Counting costs every allocation two atomic additions, and all alike.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many bytes did it ask for.
pub(crate) fn bytes_during(call: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    call();
    region.change().bytes_allocated
}

/// So many bytes more are held after it than before.
pub(crate) fn kept_by<T>(make: impl FnOnce() -> T) -> (T, isize) {
    let region = Region::new(ALLOCATOR);
    let thing = make();
    let change = region.change();
    let kept = change
        .bytes_allocated
        .wrapping_sub(change.bytes_deallocated);
    (thing, kept.cast_signed())
}
