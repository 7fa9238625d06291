//! The replies of a node to requests for a slot that it does not have. Pure: sends nothing.

use redis::{ErrorKind, ServerErrorKind};

use crate::{
    redis::{address::node_address::NodeAddress, error::redis_error, slot::Slot},
    store::{Failure, FailureKind},
};

pub(super) enum Redirect {
    /// The slot belongs to another node.
    Moved(Slot, NodeAddress),
    /// The slot is being moved to this node. The key is already there, or does not exist. The
    /// redirection is for this request only.
    Ask(NodeAddress),
    /// The slot is being moved, and the keys may be on different nodes.
    SlotMigrating,
}

impl Redirect {
    /// The redirection that the failure contains. `None`: the failure has another reason. A
    /// redirected request was not done.
    pub(super) fn of(failure: &Failure, reported_by: &NodeAddress) -> Option<Redirect> {
        let error = redis_error(failure)?;
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
        failure.cause::<SlotMigrating>().is_some()
    }
}

/// The nodes redirect to each other.
#[derive(Debug, thiserror::Error)]
#[error("the nodes of the cluster redirected the request {times} times")]
pub(super) struct TooManyRedirects {
    pub(super) times: u32,
}
