//! In the place of `plates.rs` where the crate was built without clusters. There is never a value of this kind.

use std::sync::atomic::AtomicBool;

use crossbeam::channel::Receiver;

use crate::{args::Args, failovers::Failovers, weather::Chronicle};

pub(crate) enum Plates {}

impl Plates {
    pub(crate) fn start(_: &Args, _: u64) -> Result<Plates, String> {
        Err("for `--cluster`, build with `--features cluster`".to_owned())
    }

    pub(crate) fn url(&self) -> String {
        match *self {}
    }

    pub(crate) fn shake(
        &mut self,
        _: &Args,
        _: u64,
        _: &Failovers,
        _: &AtomicBool,
        _: Receiver<()>,
    ) -> Result<Chronicle, String> {
        match *self {}
    }
}
