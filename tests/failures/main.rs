//! Redis fails: it is away, silent, full or refuses. Requests and replies are lost, and connections
//! run out.

mod broken_connections;
mod clock;
mod cut_replies;
mod degraded;
mod excess_replies;
mod faults;
mod forgotten_connections;
mod idle_connections;
mod invalid_replies;
mod lost_requests;
mod outage;
mod partition;
mod pending;
mod shared_connections;
mod shared_connections_with_writers;
mod slow_replies;
mod too_large;

#[path = "../own_process/child.rs"]
mod child;
#[path = "../support/fake.rs"]
mod fake;
#[path = "../support/held.rs"]
mod held;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/relay.rs"]
mod relay;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "../support/system.rs"]
mod system;
