//! Redis fails: it is away, silent, full or refuses. Requests and replies are lost, and connections
//! run out.

mod degraded;
mod faults;
mod lost_requests;
mod outage;
mod partition;
mod shared_connections;
mod shared_connections_with_writers;
mod too_large;

#[path = "../own_process/child.rs"]
mod child;
#[path = "../support/held.rs"]
mod held;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "../support/system.rs"]
mod system;
