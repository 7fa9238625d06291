//! The timeouts of connections to a server.

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
    /// For an idle connection, which is then closed.
    pub(crate) idle: Duration,
    /// For silence on an idle connection, after which the kernel asks whether the other side still
    /// knows it.
    pub(crate) keepalive: Duration,
}
