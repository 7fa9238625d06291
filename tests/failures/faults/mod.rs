//! The fault table: every way in which Redis, the wire or a stranger fails, and what each call makes of it.
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
mod refusals;
mod server;
mod stuck;
mod table;
mod wire;
