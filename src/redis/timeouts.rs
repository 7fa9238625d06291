//! The timeouts of connections to a server.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};

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

/// How many probes in a row must stay unanswered before the kernel closes a connection.
const UNANSWERED: u32 = 3;

impl Timeouts {
    pub(crate) fn tcp_settings(self) -> TcpSettings {
        TcpSettings::default().set_keepalive(probes(self.keepalive))
    }
}

/// The probes by which the kernel finds out that the other side does not know a connection any
/// more. They also show a NAT or a firewall that the connection is in use.
fn probes(idle: Duration) -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(idle);
    // Elsewhere, the pauses between probes and their number are settings of the system.
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "windows",
    ))]
    let keepalive = keepalive
        // The kernel knows whole seconds only.
        .with_interval((idle / UNANSWERED).max(Duration::from_secs(1)))
        .with_retries(UNANSWERED);
    keepalive
}
