//! Signs that another server has taken over, and the errors for that.
//!
//! Used by the pool, by what runs requests, by endpoints and by `epoch.rs`. Sends nothing.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Whether the server is a replica, which takes no writes. Before Redis 7.0, the error of a script
/// does not have this code, and only quotes it.
pub(crate) fn is_read_only(error: &RedisError) -> bool {
    let quotes = |detail: &str| detail.contains(": -READONLY ");
    error.code() == Some("READONLY")
        || error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
            && error.detail().is_some_and(quotes)
}

/// The connection leads to a former server.
#[derive(Debug, thiserror::Error)]
#[error("the connection is older than the latest loss or change of the server")]
pub(crate) struct Moved;

/// The address leads back to a server that was replaced a moment ago.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address leads to several servers in turn, and each is used for one second; give the \
     address of a single server"
)]
pub(crate) struct ServersInTurn;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_a_replica_refuses_says_so_in_each_version() {
        let said = |kind, detail: &str| RedisError::from((kind, "refused", detail.to_owned()));
        let plain = ErrorKind::Server(ServerErrorKind::ReadOnly);
        assert!(is_read_only(&said(
            plain,
            "You can't write against a read only replica."
        )));
        // The wording of Redis 6.2.
        let quoted = "Error running script (call to f_59282dc4): @user_script:20: @user_script: 20: -READONLY You can't \
                      write against a read only replica.";
        let script = ErrorKind::Server(ServerErrorKind::ResponseError);
        assert!(is_read_only(&said(script, quoted)));
        assert!(!is_read_only(&said(
            script,
            "Error running script: wrong number of arguments"
        )));
    }
}
