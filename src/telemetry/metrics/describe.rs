//! What each metric says, for recorders that export it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::{
    AUDITS, BACKGROUND_LOADS, BACKGROUND_PANICS, BREAKER_OPEN, LOAD_SECONDS, LOAD_TIMEOUTS, LOADS,
    LOADS_IN_FLIGHT, LOOKUP_ERRORS, LOOKUP_SECONDS, LOOKUPS, LOST, MISSES, OTHER_SCHEMA, OVERLOADS,
    PENDING, REFRESHES, REFUSED_FILLS, REMEMBERED, REPLAYED, SHARED, STALE_LOADS, STORE_ERRORS,
    UNREADABLE, UNSTORABLE, WRITE_SECONDS, WRITES,
};

/// Describes each metric to the recorder, if one is installed by now.
pub(super) fn describe() {
    describe_counter!(
        LOOKUPS,
        "Lookups, by the source of the answer and by whether there is a record"
    );
    describe_counter!(
        LOOKUP_ERRORS,
        "Lookups that ended with an error, in most cases the loader's"
    );
    describe_histogram!(LOOKUP_SECONDS, Unit::Seconds, "How long lookups took");
    describe_counter!(MISSES, "Lookups whose first read found no usable record");
    describe_counter!(
        SHARED,
        "Lookups that another caller's load answered; each saved a load"
    );
    describe_counter!(LOADS, "Loads, by outcome");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "How long loads took");
    describe_counter!(
        OVERLOADS,
        "Lookups that failed because too many loads were running"
    );
    describe_counter!(
        LOAD_TIMEOUTS,
        "Lookups that failed because their load took longer than the hard timeout"
    );
    describe_counter!(BACKGROUND_LOADS, "Loads on threads of a LoadingCache");
    describe_counter!(
        BACKGROUND_PANICS,
        "Loaders that panicked on a thread of a LoadingCache"
    );
    describe_gauge!(LOADS_IN_FLIGHT, "Loads in progress in this process");
    describe_counter!(
        REFRESHES,
        "Reloads of records that were still cached, by outcome"
    );
    describe_counter!(
        REFUSED_FILLS,
        "Records that were loaded but not cached, because their lease had ended"
    );
    describe_counter!(
        STALE_LOADS,
        "Loads that returned a record older than a write that had returned"
    );
    describe_counter!(
        UNSTORABLE,
        "Records that were loaded and returned, but cannot be cached"
    );
    describe_counter!(
        UNREADABLE,
        "Entries that are not a record of the cache's type"
    );
    describe_counter!(OTHER_SCHEMA, "Entries of another schema");
    describe_counter!(
        AUDITS,
        "Samples of hits that were compared with the primary, by outcome"
    );
    describe_counter!(WRITES, "Calls that write");
    describe_histogram!(
        WRITE_SECONDS,
        Unit::Seconds,
        "How long calls that write took"
    );
    describe_counter!(STORE_ERRORS, "Requests to the store that failed");
    describe_counter!(
        REMEMBERED,
        "Invalidations that did not reach the store and became pending"
    );
    describe_counter!(
        REPLAYED,
        "Pending invalidations that have succeeded, by record"
    );
    describe_counter!(
        LOST,
        "Invalidations that were still pending when the last handle of the store was dropped"
    );
    describe_gauge!(PENDING, "Records whose invalidation is pending");
    describe_gauge!(
        BREAKER_OPEN,
        "1 while no request is sent, because too many in a row failed"
    );
}
