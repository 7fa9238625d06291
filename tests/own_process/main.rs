//! Tests that need a process of their own: they count threads and files, or install a logger.
//!
//! Each begins with `own_process!()`, which starts this program again for that test alone.

/// Ends the test here if a child has run it. In the child, the test goes on.
macro_rules! own_process {
    () => {{
        fn here() {}
        if crate::child::has_run(std::any::type_name_of_val(&here)) {
            return;
        }
    }};
}

#[cfg(feature = "tracing")]
mod away_at_start;
mod child;
#[cfg(target_os = "linux")]
mod drop;
#[cfg(target_os = "linux")]
mod fork;
mod leaks;
#[cfg(feature = "tracing")]
mod lines;
#[cfg(not(feature = "tracing"))]
mod log;
#[cfg(all(feature = "cluster", feature = "sentinel", feature = "tracing"))]
mod logger;
mod panicking_reports;
mod secrets;
#[cfg(feature = "tracing")]
mod servers;
#[cfg(all(feature = "cluster", feature = "tracing"))]
mod start_checks;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "tracing")]
mod unstorable_rows;

#[path = "../support/delegate.rs"]
mod delegate;
#[path = "../support/fake.rs"]
mod fake;
#[cfg(target_os = "linux")]
#[path = "../support/forked.rs"]
mod forked;
#[path = "../support/mod.rs"]
mod support;
