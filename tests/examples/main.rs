//! The examples, run as a user runs them: the demo server and its page, and the harnesses.

mod demo;
mod expiry;
mod harness;
mod history;
#[cfg(feature = "cluster")]
mod history_cluster;
mod hostile;
mod outbox;
mod page;
#[cfg(target_os = "linux")]
mod prefork;
mod quickstart;
mod sqlite;

mod checker;
mod demo_server;
mod example;
#[path = "../support/mod.rs"]
mod support;
