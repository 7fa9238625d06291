//! Redis fails: it is away, silent, full or refuses. Requests and replies are lost, and connections
//! run out.

mod crowded;
mod crowded_beside;
mod cut_off;
mod degraded;
mod faults;
mod lost;
mod outage;
mod too_large;

#[path = "../support/held.rs"]
mod held;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
