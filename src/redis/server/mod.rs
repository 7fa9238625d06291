//! What is known of a server: its kind, its version, its identity, and the texts that it sends.
//!
//! Knows no pool. Sends nothing.

pub(crate) mod epoch;
pub(crate) mod identity;
pub(crate) mod info;
pub(crate) mod other_server;
pub(crate) mod redact;
pub(crate) mod text;
pub(crate) mod unsupported;
pub(crate) mod version;
