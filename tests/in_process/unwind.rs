//! What a program may go on using after it has caught a panic.

use std::panic::{RefUnwindSafe, UnwindSafe};

use cache_aside::{
    Backend, Cache, Error, LoadingCache, Lookup, LookupOptions, Memory, OutboxRelay, Record, Redis,
    WriteError, Written,
};

fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

/// The compiler checks it. At run time there is nothing left to check.
#[test]
fn a_cache_and_what_it_returns_may_cross_a_caught_panic() {
    is_unwind_safe::<Cache>();
    is_unwind_safe::<Cache<String>>();
    is_unwind_safe::<LoadingCache>();
    is_unwind_safe::<LookupOptions<'_, Record>>();
    is_unwind_safe::<Redis>();
    is_unwind_safe::<Memory>();
    is_unwind_safe::<Backend>();
    is_unwind_safe::<OutboxRelay>();
    is_unwind_safe::<Lookup<Record>>();
    is_unwind_safe::<Written<u64>>();
    is_unwind_safe::<WriteError<String>>();
    is_unwind_safe::<Error>();
}
