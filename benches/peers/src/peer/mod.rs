//! The calls of all peers, and the list of peers.
//!
//! Each is set up as its documentation recommends for a thread per request. A peer reports the
//! calls that it does not have; they are left out of the measurement.

mod amalgam;
mod bare;
mod cached;
mod hash;
mod helper;
mod moka;
mod ours;
mod pooled;
mod quick_cache;

use std::{fmt, sync::Arc};

use crate::record::Primary;

/// Reads one record. Panics if it is missing: then the measurement would be wrong.
pub(crate) type Read<'a> = Box<dyn Fn(&str) + Send + Sync + 'a>;

/// Reads many. Also panics if one is missing.
pub(crate) type ReadMany<'a> = Box<dyn Fn(&[String]) + 'a>;

pub(crate) struct Batch<'a> {
    pub(crate) way: Way,
    pub(crate) read: ReadMany<'a>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// One call or pipeline for all of them.
    Together,
    /// It has no such call: a loop, as a user would write it.
    OneByOne,
}

pub(crate) trait Peer: Send + Sync {
    fn name(&self) -> &'static str;

    /// A lookup as its documentation shows it: the cached record, else the primary's, which is then
    /// cached.
    fn get(&self, id: &str, primary: &Arc<Primary>);

    /// Invalidates a record everywhere.
    fn forget(&self, id: &str);

    /// Loads records so that `near` finds them.
    fn warm(&self, ids: &[String], primary: &Arc<Primary>) {
        for id in ids {
            self.get(id, primary);
        }
    }

    /// A hit that asks Redis.
    fn hit(&self) -> Option<Read<'_>> {
        None
    }

    /// A hit that the process answers itself.
    fn near(&self) -> Option<Read<'_>> {
        None
    }

    /// A batch of hits.
    fn batch(&self) -> Option<Batch<'_>> {
        None
    }
}

impl fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The sizes of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) url: &'a str,
    /// The maximum, for peers that have a pool.
    pub(crate) connections: u32,
    /// The number of threads that call at once.
    pub(crate) threads: usize,
    /// How many records the process keeps, for peers that keep some.
    pub(crate) near: usize,
}

/// One peer, which can be set up as often as measurements need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) name: &'static str,
    /// The name in the lock file, if it is a crate.
    pub(crate) package: Option<&'static str>,
    /// What it is, and how it is set up.
    pub(crate) about: &'static str,
    pub(crate) make: fn(&Setup<'_>) -> Box<dyn Peer>,
}

/// The peer that others are compared with: the least work of a call that asks Redis.
pub(crate) const BARE: &str = "bare redis-rs";

/// The least work of a call that the process answers.
pub(crate) const QUICK: &str = "quick_cache";

/// The peer that takes a lock even for a hit.
pub(crate) const LOCKER: &str = "amalgam + locker";

/// The other map in the process.
pub(crate) const MOKA: &str = "moka";

/// The helper from the documentation of Redis.
pub(crate) const HELPER: &str = "plain helper";

/// This crate.
pub(crate) const OURS: &str = "cache-aside";

pub(crate) const ALL: [Maker; 10] = [
    ours::MAKER,
    bare::MAKER,
    pooled::DEFAULTS,
    pooled::UNCHECKED,
    helper::MAKER,
    cached::MAKER,
    amalgam::MAKER,
    amalgam::WITH_LOCKER,
    quick_cache::MAKER,
    moka::MAKER,
];
