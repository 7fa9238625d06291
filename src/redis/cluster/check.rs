//! Checks a cluster before a cache is built on it.
//!
//! Called by the builder.

use super::{ClusterStore, parallel::in_parallel};
use crate::{
    error::cause::chain,
    redis::{
        reachability::{UnreachableAnnounced, is_away},
        server_info::ServerMode,
        single::check::CheckedServer,
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
        let checks = in_parallel(&masters, |master| master.store.inspect(ServerMode::Node));
        let (mut checked, mut away) = (Vec::new(), Vec::new());
        for check in checks {
            match check {
                Ok(server) => checked.push(server),
                Err(failure) if is_away(&failure) => away.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        if away.len() == masters.len()
            && let Some(first) = away.first()
        {
            let cause = UnreachableAnnounced(first.clone());
            return Err(Failure::new(first.kind, cause));
        }
        // Logged only now, because a check that fails is repeated.
        checked.into_iter().for_each(CheckedServer::log);
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
