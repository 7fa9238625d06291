//! The cache on a Redis Cluster: routing, redirections, moves of slots, failovers.

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/mod.rs"]
mod support;

mod calls;
mod failover;
mod moves;
mod near;
