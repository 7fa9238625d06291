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
    /// It has none: a loop, as a user would write it.
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

/// How large all of them are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) url: &'a str,
    /// At most, of those that have a pool.
    pub(crate) connections: u32,
    /// That call at once.
    pub(crate) threads: usize,
    /// Records in the process, for those that keep some.
    pub(crate) near: usize,
}

/// One of them, to be set up as often as a measurement needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) name: &'static str,
    /// As the lock file names it, if it is a crate.
    pub(crate) package: Option<&'static str>,
    /// What it is, and how it is set up.
    pub(crate) about: &'static str,
    pub(crate) make: fn(&Setup<'_>) -> Box<dyn Peer>,
}

/// Who is measured against: the least that asks Redis at all.
pub(crate) const BARE: &str = "bare redis-rs";

/// And the least that answers from the process.
pub(crate) const QUICK: &str = "quick_cache";

/// The peer that locks even where there is a hit.
pub(crate) const LOCKER: &str = "amalgam + locker";

/// The other map.
pub(crate) const MOKA: &str = "moka";

/// What Redis's documentation tells.
pub(crate) const HELPER: &str = "plain helper";

/// Us.
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
