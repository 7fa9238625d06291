//! Checks a cluster before a cache is built on it.
//!
//! Called by the builder.

use std::time::Instant;

use super::{ClusterStore, parallel::in_parallel};
use crate::{
    error::cause::chain,
    redis::{
        reachability::{UnreachableAnnounced, is_away},
        server::info::ServerMode,
        single::check::CheckedServer,
    },
    store::Failure,
    telemetry::trace,
};

/// How many masters that do not answer are logged one by one.
const MOST_WARNINGS: usize = 10;

impl ClusterStore {
    /// Asks for the nodes, connects once to each master, and sends it the scripts. This finds a
    /// wrong address, a wrong password or a missing permission. A master that cannot be reached is
    /// accepted if other nodes answer, because it may come back or be replaced.
    ///
    /// No check of a master begins later than `request_timeout`, so that this ends soon even if
    /// nobody is at the addresses of a thousand masters.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.topology.discover()?;
        let map = self.topology.map();
        let masters = map.masters();
        let (start, limit) = (Instant::now(), self.topology.config.timeouts.request);
        let checks = in_parallel(&masters, |master| {
            let is_due = start.elapsed() < limit;
            is_due.then(|| master.store.inspect(ServerMode::Node))
        });
        let (mut checked, mut away, mut unchecked) = (Vec::new(), Vec::new(), 0);
        for check in checks {
            match check {
                Some(Ok(server)) => checked.push(server),
                Some(Err(failure)) if is_away(&failure) => away.push(failure),
                Some(Err(failure)) => return Err(failure),
                None => unchecked += 1,
            }
        }
        if checked.is_empty()
            && let Some(first) = away.first()
        {
            let cause = UnreachableAnnounced(first.clone());
            return Err(Failure::new(first.kind, cause));
        }
        // Logged only now, because a check that fails is repeated.
        checked.into_iter().for_each(CheckedServer::log);
        for failure in away.iter().take(MOST_WARNINGS) {
            trace::warn!(
                "a master of the cluster does not answer: {}",
                chain(failure)
            );
        }
        if away.len() > MOST_WARNINGS {
            let more = away.len() - MOST_WARNINGS;
            trace::warn!("{more} more masters of the cluster do not answer");
        }
        if unchecked > 0 {
            trace::warn!("{unchecked} masters of the cluster were not checked in time");
        }
        if !map.is_whole() {
            trace::warn!("some slots of the cluster have no node");
        }
        Ok(())
    }
}
