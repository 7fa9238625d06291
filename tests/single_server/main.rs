//! The cache on one Redis server: its requests, its keys, and the permissions that it needs.

mod acl;
mod addresses;
mod batches;
mod cache_drop;
mod client_name;
mod crash;
mod deployment;
mod events;
mod guard;
mod interop;
mod interrupted;
mod near;
mod outbox;
mod push_wakeup;
mod tags;
mod versions;
mod wire;

#[path = "../support/delegate.rs"]
mod delegate;
#[path = "../support/listeners.rs"]
mod listeners;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/table.rs"]
mod table;
