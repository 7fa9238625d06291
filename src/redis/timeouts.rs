//! The timeouts of connections to a server, and the limit of a reply.

use std::time::Duration;

use redis::io::tcp::socket2::TcpKeepalive;

use super::connection::limits::Limits;

/// The timeout of each step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For getting a free connection, including opening one.
    pub(crate) checkout: Duration,
    /// For opening a connection.
    pub(crate) connect: Duration,
    /// For silence on the connection: while a request is written, and while its reply is awaited.
    pub(crate) io: Duration,
    /// For a whole request.
    pub(crate) request: Duration,
    /// For an idle connection, which is then closed.
    pub(crate) idle: Duration,
    /// For silence on an idle connection, after which the kernel asks whether the other side still
    /// knows it.
    pub(crate) keepalive: Duration,
    /// The most memory that a reply may take, in bytes.
    pub(crate) max_reply: usize,
}

/// The setters of the builder give the reasons.
impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            checkout: Duration::from_secs(1),
            connect: Duration::from_millis(500),
            io: Duration::from_millis(500),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(180),
            keepalive: Duration::from_secs(60),
            max_reply: 64 << 20,
        }
    }
}

/// The reply to `CLUSTER SLOTS` of a thousand masters takes less.
pub(crate) const SMALLEST_REPLY: usize = 2 << 20;

/// How many probes in a row must stay unanswered before the kernel closes a connection.
const UNANSWERED: u32 = 3;

impl Timeouts {
    /// The limits of a connection on which the server has been identified.
    pub(crate) fn of_requests(self) -> Limits {
        Limits {
            io: self.io,
            request: self.request,
            reply: self.max_reply,
        }
    }

    /// The limits of a connection that is being opened: the timeout for each step.
    pub(crate) fn of_connecting(self) -> Limits {
        Limits {
            io: self.connect,
            request: self.connect,
            reply: self.max_reply,
        }
    }

    /// The limits of a connection on which a listener waits for pushes. Each read ends after a
    /// period, or after two if it gets bytes.
    pub(crate) fn of_listening(self, period: Duration) -> Limits {
        Limits {
            io: period,
            request: period,
            reply: self.max_reply,
        }
    }

    pub(crate) fn probes(self) -> TcpKeepalive {
        probes(self.keepalive)
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
