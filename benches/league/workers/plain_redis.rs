//! Plain requests to Redis, for workers without a library: each thread has a connection.

use std::cell::RefCell;

use redis::{Client, Cmd, Connection, FromRedisValue, Pipeline};

use super::serve::{Setup, text};

pub(super) struct PlainRedis(Client);

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl PlainRedis {
    pub(super) fn new(setup: &Setup) -> Result<PlainRedis, String> {
        Client::open(&*setup.redis).map(PlainRedis).map_err(text)
    }

    pub(super) fn one<T: FromRedisValue>(&self, request: &Cmd) -> Result<T, String> {
        let (reply,) = self.query(Pipeline::new().add_command(request.clone()))?;
        Ok(reply)
    }

    /// A new connection follows a failure, as in a pool.
    pub(super) fn query<T: FromRedisValue>(&self, requests: &Pipeline) -> Result<T, String> {
        CONNECTION.with_borrow_mut(|kept| {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.0.get_connection().map_err(text)?,
            };
            let reply = requests.query(&mut connection).map_err(text)?;
            *kept = Some(connection);
            Ok(reply)
        })
    }
}
