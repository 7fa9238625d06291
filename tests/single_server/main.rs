//! The cache on one Redis server: what it sends, what it stores, and what it may be denied.

mod acl;
mod addresses;
mod batches;
mod crash;
mod events;
mod guard;
mod interop;
mod interrupted;
mod near;
mod wake;
mod wire;

#[path = "../support/listeners.rs"]
mod listeners;
#[path = "../support/pass_on.rs"]
mod pass_on;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
