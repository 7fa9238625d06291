//! Tests without a server: the store in memory, custom stores, settings, and lookup options.

mod call_backs;
mod custom_store;
#[cfg(feature = "event-log")]
mod event_log;
mod ids;
mod memory;
mod options;
mod outbox;
mod settings;
mod unwind;

#[path = "../support/delegate.rs"]
mod delegate;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/table.rs"]
mod table;
