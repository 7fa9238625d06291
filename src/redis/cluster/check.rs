//! Checks a cluster before a cache is built on it.
//!
//! Called by the builder.

use super::{ClusterStore, parallel::in_parallel};
use crate::{
    error::cause::chain,
    redis::{
        reachability::{UnreachableAnnounced, is_away},
        server_info::ServerMode,
    },
    store::Failure,
    telemetry::trace,
};

impl ClusterStore {
    /// Asks for the nodes, connects once to each master, and sends it the scripts. This finds a
    /// wrong address, a wrong password or a missing permission. A master that cannot be reached is
    /// accepted if other nodes answer, because it may come back or be replaced.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.topology.discover()?;
        let map = self.topology.map();
        let masters = map.masters();
        let checked = in_parallel(&masters, |master| master.store.check(ServerMode::Node));
        let mut away = Vec::new();
        for failure in checked.into_iter().filter_map(Result::err) {
            if !is_away(&failure) {
                return Err(failure);
            }
            away.push(failure);
        }
        if away.len() == masters.len()
            && let Some(first) = away.first()
        {
            let cause = UnreachableAnnounced(first.clone());
            return Err(Failure::new(first.kind, cause));
        }
        for failure in away {
            trace::warn!(
                "a master of the cluster does not answer: {}",
                chain(&failure)
            );
        }
        if !map.is_whole() {
            trace::warn!("some slots of the cluster have no node");
        }
        Ok(())
    }
}
