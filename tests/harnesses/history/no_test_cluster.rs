//! Replaces `test_cluster.rs` if the crate was built without clusters. A value of this type never
//! exists.

use std::sync::atomic::AtomicBool;

use crossbeam::channel::Receiver;

use crate::{args::Args, failovers::Failovers, fault_schedule::FaultReport};

pub(crate) enum TestCluster {}

impl TestCluster {
    pub(crate) fn start(_: &Args, _: u64) -> Result<TestCluster, String> {
        Err("for `--cluster`, build with `--features cluster`".to_owned())
    }

    pub(crate) fn url(&self) -> String {
        match *self {}
    }

    pub(crate) fn run_faults(
        &mut self,
        _: &Args,
        _: u64,
        _: &Failovers,
        _: &AtomicBool,
        _: Receiver<()>,
    ) -> Result<FaultReport, String> {
        match *self {}
    }
}
