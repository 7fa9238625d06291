//! Versions: a replica of the primary that lags, the floor of the record, and writes through.
//!
//! The version of a record is its `rest`. Loaders read the replica, unless the floor that they got
//! forbids it. A floor lasts for as long as a replica can lag: when it lapses, the replica has what
//! the primary had when the floor was set. As long as a writer has a place in the guard, and for
//! that time after it, the floor stands.
//!
//! The effect on the floor belongs to the step of the script that has it. So each method here is
//! called in the step of another.

use crate::{
    mutation::Mutation,
    redis::{Data, Entry, Lease, Record, Redis, Token},
    state::{Protocol, State},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Floor {
    /// `None`: it is unknown.
    version: Option<u8>,
    /// The writer whose guard has made it unknown, if nothing else has.
    by: Option<usize>,
    /// The version that the replica has when the floor lapses.
    until: u8,
}

/// What a loader got with the permit to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handed {
    /// It may read the replica.
    Any,
    /// It may read the replica, but must return this version or a later one.
    Least(u8),
    /// It must read the primary.
    Primary,
}

impl Redis {
    /// What `acquire` hands over.
    fn handed(&self, protocol: &Protocol) -> Handed {
        match self.floor {
            _ if !protocol.versions => Handed::Primary,
            None => Handed::Any,
            Some(Floor {
                version: Some(version),
                ..
            }) => Handed::Least(version),
            Some(_) => Handed::Primary,
        }
    }

    fn raise(&mut self, before: Option<Floor>, version: Option<u8>, now: u8) {
        let version = match before {
            None => version,
            Some(before) => before
                .version
                .zip(version)
                .map(|(one, other)| one.max(other)),
        };
        self.floor = Some(Floor {
            version,
            by: None,
            until: now,
        });
    }

    /// Whether the guard has this nonce, and no place but this writer's, not even a lapsed one.
    fn is_alone(&self, writer: usize, own: Option<Token>, mutation: Option<Mutation>) -> bool {
        let Some(Lease::Guard { nonce, entries }) = self.lease else {
            return false;
        };
        let others = (0..entries.len()).filter(|&it| it != writer && entries[it].is_some());
        entries[writer].is_some()
            && (own == Some(nonce) || mutation == Some(Mutation::ThroughIgnoresNonce))
            && (others.count() == 0
                || matches!(
                    mutation,
                    Some(Mutation::ThroughIgnoresNonce | Mutation::ThroughBesideOthers)
                ))
    }

    fn has_place(&self) -> bool {
        let Some(Lease::Guard { entries, .. }) = self.lease else {
            return false;
        };
        entries.iter().flatten().any(|it| *it != Entry::Lapsed)
    }

    /// Whether a fill of this record is refused because of the floor.
    pub(crate) fn refuses(&self, record: Record) -> bool {
        let least = self.floor.and_then(|floor| floor.version);
        least.is_some_and(|least| record.rest < least)
    }
}

impl State {
    /// What a load of this reader must respect.
    pub(crate) fn handed(&self, protocol: &Protocol, reader: usize) -> Handed {
        if self.views[reader].is_some_and(|view| view.reads_primary) {
            return Handed::Primary;
        }
        self.redis.handed(protocol)
    }

    /// What a loader reads.
    pub(crate) fn loaded(&self, protocol: &Protocol, handed: Handed) -> Record {
        let replica = Record {
            rest: self.replica,
            ..self.primary
        };
        match handed {
            Handed::Any => replica,
            Handed::Least(least)
                if self.replica >= least
                    || protocol.mutation == Some(Mutation::BelowFloorReturned) =>
            {
                replica
            }
            Handed::Least(_) | Handed::Primary => self.primary,
        }
    }

    /// The step of a write that ends the record, with or without a version.
    pub(crate) fn raise_floor(&mut self, protocol: &Protocol, version: Option<u8>) {
        let is_left = match version {
            Some(_) => protocol.mutation == Some(Mutation::FloorNotRaised),
            None => protocol.mutation == Some(Mutation::PlainLeavesFloor),
        };
        if protocol.versions && !is_left {
            self.redis
                .raise(self.redis.floor, version, self.primary.rest);
        }
    }

    /// The same at the end of a write. A floor that only its own guard has made unknown is
    /// replaced.
    pub(crate) fn raise_floor_by(
        &mut self,
        protocol: &Protocol,
        writer: usize,
        version: Option<u8>,
    ) {
        if protocol.versions {
            let before = self.redis.floor.filter(|floor| floor.by != Some(writer));
            self.redis.raise(before, version, self.primary.rest);
        }
    }

    pub(crate) fn guard_floor(&mut self, protocol: &Protocol, writer: usize) {
        if protocol.versions && protocol.mutation != Some(Mutation::GuardLeavesFloor) {
            self.redis.floor = Some(Floor {
                version: None,
                by: self.redis.floor.is_none().then_some(writer),
                until: self.primary.rest,
            });
        }
    }

    /// A place has lapsed. The floor of the guard lasts for the lag from here on.
    pub(crate) fn keep_floor(&mut self, mutation: Option<Mutation>) {
        if mutation != Some(Mutation::GuardLeavesFloor)
            && let Some(floor) = &mut self.redis.floor
        {
            floor.until = self.primary.rest;
        }
    }

    pub(crate) fn lapse_floor(&mut self, mutation: Option<Mutation>) {
        let is_kept = self.redis.has_place() && mutation != Some(Mutation::GuardLeavesFloor);
        if let Some(floor) = self.redis.floor
            && !is_kept
            && self.replica >= floor.until
        {
            self.redis.floor = None;
        }
    }

    pub(crate) fn catch_up(&mut self) {
        self.replica = self.primary.rest.min(self.replica + 1);
    }

    /// The end of a write through. `own`: the nonce that its guard has set.
    pub(crate) fn write_through(
        &mut self,
        protocol: &Protocol,
        writer: usize,
        version: u8,
        own: Option<Token>,
    ) {
        let stamp = self.writers[writer].stamp;
        let is_alone = self.redis.is_alone(writer, own, protocol.mutation);
        self.redis.unguard(writer, Token::FRESH, protocol.mutation);
        self.raise_floor_by(protocol, writer, Some(version));
        if is_alone {
            let record = Record {
                rest: version,
                ..Record::FIRST
            };
            let stamp = match protocol.mutation {
                Some(Mutation::ThroughStampedLate) => self.redis.tags.and_then(|it| it.clock()),
                _ => stamp,
            };
            self.redis.data = Some(Data {
                record,
                ttl: true,
                stamp,
            });
        }
    }
}
