//! The examples, run as a user runs them: the demo server and its page, and the harnesses.

#[cfg(feature = "event-log")]
mod check;
mod check_rules;
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
#[allow(dead_code, reason = "the harness uses the rest")]
#[path = "../harnesses/check/judge/mod.rs"]
mod judge;
#[path = "../harnesses/check/made.rs"]
mod made;
#[path = "../support/mod.rs"]
mod support;
