//! How long a request waits for a server.

use std::time::Duration;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For a free connection, including the time to open one.
    pub(crate) checkout: Duration,
    /// For each step of opening a connection.
    pub(crate) connect: Duration,
    /// For silence on the connection while a request is written or its reply is awaited.
    pub(crate) io: Duration,
}
