//! The replies of a node to requests for a slot that it does not have.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{
    redis::{node_address::NodeAddress, slot::Slot},
    store::{Failure, FailureKind},
};

pub(super) enum Redirect {
    /// The slot is another node's.
    Moved(Slot, NodeAddress),
    /// The slot is being moved to this node. The key is there already, or does not exist. For this
    /// request only.
    Ask(NodeAddress),
    /// The slot is being moved, and the keys may be on different nodes.
    SlotMigrating,
}

impl Redirect {
    /// `None`: the failure has another reason. A redirected request was not done.
    pub(super) fn of(failure: &Failure, reported_by: &NodeAddress) -> Option<Redirect> {
        let error = failure.cause.downcast_ref::<RedisError>()?;
        let to = || {
            let (address, slot) = error.redirect_node()?;
            Some((Slot::new(slot)?, NodeAddress::parse(address, reported_by)?))
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                to().map(|(slot, address)| Redirect::Moved(slot, address))
            }
            ErrorKind::Server(ServerErrorKind::Ask) => {
                to().map(|(_, address)| Redirect::Ask(address))
            }
            ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Redirect::SlotMigrating),
            _ => None,
        }
    }
}

/// The slot of a record is being moved. A cluster refuses requests for two keys that may be on
/// different nodes.
#[derive(Debug, thiserror::Error)]
#[error("the record's slot is being moved to another node of the cluster")]
pub(super) struct SlotMigrating;

impl SlotMigrating {
    pub(super) fn failure() -> Failure {
        Failure::new(FailureKind::Rejected, SlotMigrating)
    }

    pub(super) fn is(failure: &Failure) -> bool {
        failure.cause.is::<SlotMigrating>()
    }
}

/// The nodes redirect to each other.
#[derive(Debug, thiserror::Error)]
#[error("the nodes of the cluster redirected this {times} times")]
pub(super) struct TooManyRedirects {
    pub(super) times: u32,
}
