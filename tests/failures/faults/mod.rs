//! The fault table: all failures of Redis, the wire or another program, and their effect on each
//! call.
//!
//! ```text
//! cargo test --test failures -- --nocapture faults:: | grep '^|'
//! ```
//!
//! prints the table as Markdown. Each row is a test.

mod cut;
mod environment;
mod foreign;
mod late;
mod moved;
mod refusals;
mod server;
mod stuck;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system;
mod table;
mod wire;
