//! A connection while it is lent.
//!
//! Guarantees that it returns to its pool or is closed, also if a request panics.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Instant,
};

use super::{Idle, ManageConnection, Shared};

/// A connection that returns to its pool when it is dropped.
pub(crate) struct Lent<M: ManageConnection> {
    shared: Arc<Shared<M>>,
    /// `None` only during the drop.
    connection: Option<M::Connection>,
}

impl<M: ManageConnection> Lent<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, connection: M::Connection) -> Lent<M> {
        Lent {
            shared,
            connection: Some(connection),
        }
    }

    /// Closes the connection.
    pub(super) fn close(mut self) {
        drop(self.connection.take());
    }
}

impl<M: ManageConnection> Deref for Lent<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        self.connection.as_ref().expect("it is not dropped")
    }
}

impl<M: ManageConnection> DerefMut for Lent<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        self.connection.as_mut().expect("it is not dropped")
    }
}

impl<M: ManageConnection> Drop for Lent<M> {
    fn drop(&mut self) {
        let manager = &self.shared.manager;
        let kept = self.connection.take();
        let kept = kept.filter(|connection| !manager.has_broken(connection));
        {
            let mut state = self.shared.state.lock();
            if let Some(connection) = kept {
                state.idle.push_back(Idle {
                    connection,
                    since: Instant::now(),
                });
            } else {
                state.open -= 1;
            }
        }
        self.shared.changed.notify_one();
    }
}
