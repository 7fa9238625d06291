//! Tests without a server: the store in memory, custom stores, settings, and options of one lookup.

mod memory;
mod options;
mod own_store;
mod settings;

#[path = "../support/pass_on.rs"]
mod pass_on;
#[path = "../support/mod.rs"]
mod support;
