//! All measurements, for the page and the pictures.

use crate::{
    peer::Maker,
    work::{calls, stampede, threads},
};

/// The peers, in the order of the figures.
type Makers = Vec<&'static Maker>;

#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) calls: Calls,
    /// The bytes of a record in the process, by peer, as in `calls`.
    pub(crate) near_bytes: Vec<Option<f64>>,
    pub(crate) stampedes: Stampedes,
    pub(crate) many_threads: ManyThreads,
}

#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) makers: Makers,
    pub(crate) figures: Vec<calls::Figures>,
}

#[derive(Debug)]
pub(crate) struct Stampedes {
    pub(crate) makers: Makers,
    pub(crate) figures: Vec<stampede::Figures>,
}

#[derive(Debug)]
pub(crate) struct ManyThreads {
    pub(crate) makers: Makers,
    /// Figures with a few connections.
    pub(crate) few: Vec<threads::Figures>,
    /// Figures with as many connections as threads.
    pub(crate) many: Vec<threads::Figures>,
}
