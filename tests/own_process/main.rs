//! Tests that need a process of their own: they count threads and files, or install a logger.
//!
//! Each begins with `own_process!()`, which starts this program again for that test alone.

/// Ends the test here if a child has run it. In the child, the test goes on. The child gets these
/// variables in its environment.
macro_rules! own_process {
    () => {
        own_process!(Vec::new)
    };
    ($variables:expr) => {{
        fn here() {}
        if crate::child::has_run(std::any::type_name_of_val(&here), $variables) {
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
#[cfg(feature = "tracing")]
mod hostile_text;
mod leaks;
#[cfg(feature = "tracing")]
mod lines;
#[cfg(not(feature = "tracing"))]
mod log;
#[cfg(all(feature = "cluster", feature = "sentinel", feature = "tracing"))]
mod logger;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod no_threads;
#[cfg(all(
    feature = "metrics",
    feature = "tracing",
    target_os = "linux",
    target_env = "gnu"
))]
mod outbox;
mod panicking_reports;
#[cfg(all(feature = "cluster", target_os = "linux"))]
mod redirects;
mod secrets;
#[cfg(feature = "tracing")]
mod servers;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod slow_resolver;
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
#[cfg(feature = "tls")]
#[path = "../support/secure.rs"]
mod secure;
#[cfg(feature = "sentinel")]
#[path = "../support/sentinel_set.rs"]
mod sentinel_set;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "../support/system.rs"]
mod system;
#[cfg(all(
    feature = "metrics",
    feature = "tracing",
    target_os = "linux",
    target_env = "gnu"
))]
#[path = "../support/table.rs"]
mod table;
#[cfg(feature = "cluster")]
#[path = "../support/cluster.rs"]
mod test_cluster;
