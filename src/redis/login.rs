//! The login of a connection, and the choice of its protocol and database.
//!
//! Called by `connect.rs`.

use redis::{Cmd, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, cmd};

use super::{
    connection::Connection,
    error::in_reply,
    pipeline::{self, FIRST_REQUESTS},
    server::info::hello,
};

/// Logs in and chooses the database, in one round trip, or in none if neither is necessary.
pub(super) fn log_in(connection: &mut Connection, login: &RedisConnectionInfo) -> RedisResult<()> {
    let select = (login.db() != 0).then(|| cmd("SELECT").arg(login.db()).take());
    let requests = begin(login).into_iter().chain(select);
    let replies = pipeline::stream(connection, FIRST_REQUESTS, requests)?;
    match (replies.iter().find_map(in_reply), login.password()) {
        (None, _) => Ok(()),
        (Some(error), Some(password)) if login.username().is_some() && knows_no_users(&error) => {
            let without_user = RedisConnectionInfo::default().set_password(password);
            log_in(connection, &without_user.set_db(login.db()))
        }
        (Some(error), _) => Err(error),
    }
}

/// The request that logs in, if one is necessary. RESP3 begins with `HELLO` in any case.
fn begin(login: &RedisConnectionInfo) -> Option<Cmd> {
    if login.protocol() == ProtocolVersion::RESP3 {
        let mut hello = hello(ProtocolVersion::RESP3);
        if let Some(password) = login.password() {
            let user = login.username().unwrap_or("default");
            hello.arg("AUTH").arg(user).arg(password);
        }
        return Some(hello);
    }
    let password = login.password()?;
    let mut auth = cmd("AUTH");
    auth.arg(login.username()).arg(password);
    Some(auth)
}

/// Whether the server takes a password only, as a sentinel or a server before Redis 6 does.
fn knows_no_users(error: &RedisError) -> bool {
    let says = |detail: &str| detail.contains("wrong number of arguments for 'auth'");
    error.detail().is_some_and(says)
}
