//! How long a server is waited for.

use std::time::Duration;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// To wait for a free connection, opening one included.
    pub(crate) checkout: Duration,
    /// To open a connection.
    pub(crate) connect: Duration,
    /// Silence on the wire, while a request is written and while its reply is awaited.
    pub(crate) io: Duration,
}
