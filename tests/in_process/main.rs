//! Tests without a server: the store in memory, custom stores, settings, and lookup options.

mod custom_store;
mod memory;
mod options;
mod settings;
mod unwind;

#[path = "../support/delegate.rs"]
mod delegate;
#[path = "../support/mod.rs"]
mod support;
