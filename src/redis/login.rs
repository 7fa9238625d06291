//! The login of a connection with RESP2. With RESP3, the login is a part of the first `HELLO`.
//!
//! Called by `connect.rs`.

use redis::{Connection, RedisConnectionInfo, RedisError, RedisResult, cmd};

use super::{
    error::in_reply,
    pipeline::{self, LARGE_REPLIES},
};

/// Logs in and chooses the database, in one round trip, or in none if neither is necessary.
/// redis-rs would do the same, but reports a full server and any other refusal as a wrong password.
pub(super) fn log_in(connection: &mut Connection, login: &RedisConnectionInfo) -> RedisResult<()> {
    let auth = login.password().map(|password| {
        let mut auth = cmd("AUTH");
        auth.arg(login.username()).arg(password);
        auth
    });
    let select = (login.db() != 0).then(|| cmd("SELECT").arg(login.db()).take());
    let requests = auth.into_iter().chain(select);
    let replies = pipeline::stream(connection, LARGE_REPLIES, requests)?;
    match (replies.iter().find_map(in_reply), login.password()) {
        (None, _) => Ok(()),
        (Some(error), Some(password)) if login.username().is_some() && knows_no_users(&error) => {
            let without_user = RedisConnectionInfo::default().set_password(password);
            log_in(connection, &without_user.set_db(login.db()))
        }
        (Some(error), _) => Err(error),
    }
}

/// Whether the server takes a password only, as a sentinel or a server before Redis 6 does.
fn knows_no_users(error: &RedisError) -> bool {
    let says = |detail: &str| detail.contains("wrong number of arguments for 'auth'");
    error.detail().is_some_and(says)
}
