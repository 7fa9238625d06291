//! What a node answers where it doesn't do what it is asked, because of whose slot that is.

use std::{error::Error as StdError, fmt};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{
    redis::{node_address::NodeAddress, slot::Slot},
    store::{Failure, FailureKind},
};

pub(super) enum Redirect {
    /// The slot is another node's.
    Moved(Slot, NodeAddress),
    /// The slot is being moved to this one, and the key is there already, or would be. For this once.
    Ask(NodeAddress),
    /// The slot is being moved, and one key is here and another there, as far as anybody knows.
    SlotMigrating,
}

impl Redirect {
    /// `None`: it failed for another reason. The request was not done.
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

/// A slot is being moved. Both keys of a record are in it, and a cluster does nothing with two keys of which one may be there
/// and the other here.
#[derive(Debug)]
pub(super) struct SlotMigrating;

impl SlotMigrating {
    pub(super) fn failure() -> Failure {
        Failure::new(FailureKind::Rejected, SlotMigrating)
    }

    pub(super) fn is(failure: &Failure) -> bool {
        failure.cause.is::<SlotMigrating>()
    }
}

impl fmt::Display for SlotMigrating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record's slot is being moved to another node of the cluster")
    }
}

impl StdError for SlotMigrating {}

/// Nobody is where the cluster says that its nodes are; others may be able to go there.
#[derive(Debug)]
pub(super) struct UnreachableAnnounced(Failure);

impl UnreachableAnnounced {
    pub(super) fn failure(away: &Failure) -> Failure {
        Failure::new(away.kind, UnreachableAnnounced(away.clone()))
    }
}

impl fmt::Display for UnreachableAnnounced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnreachableAnnounced(away) = self;
        write!(
            f,
            "{away}; that address is what the cluster calls its node, which may be told another \
             (`cluster-announce-ip`, `cluster-announce-port`)"
        )
    }
}

impl StdError for UnreachableAnnounced {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// Nodes that send from one to the other.
#[derive(Debug)]
pub(super) struct TooManyRedirects {
    pub(super) times: u32,
}

impl fmt::Display for TooManyRedirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the nodes of the cluster redirected this {} times",
            self.times
        )
    }
}

impl StdError for TooManyRedirects {}
