//! The timeouts of requests to a server.

use std::time::Duration;

/// The timeout of each step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For getting a free connection, including opening one.
    pub(crate) checkout: Duration,
    /// For opening a connection.
    pub(crate) connect: Duration,
    /// For silence on the connection: while a request is written, and while its reply is awaited.
    pub(crate) io: Duration,
}
