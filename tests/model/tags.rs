//! Tags: a clock and a tag in a slot of their own, and what they add to the read path.
//!
//! One tag, under which the record is. `invalidate_tag` advances the clock, and gives the tag that
//! value. A reader reads both before it may load; that is its [`View`]. A lease and an entry carry
//! the value that the clock had for their load. The record is read before the tag or after it,
//! because the two are in different slots.
//!
//! A loader that names the tag itself makes one difference: a reader knows only the clock until it
//! has seen the record.
//!
//! The keys of tags may get lost at any moment, one by one or with all others. The server that has
//! them may be replaced by a replica that lacks the latest values. An invalidation returns when the
//! replica has its value; if the server is replaced before that, it is repeated.
//!
//! With versions, an invalidation also sets a floor for all loads under any tag: see `versions.rs`.
//!
//! Not modelled: the near cache. A near hit is a lookup whose two reads happened earlier, and the
//! order of the reads does not matter here. Several tags: the newest counts, or the one that is
//! missing.

use crate::{
    mutation::Mutation,
    redis::{Data, Redis},
    state::{Protocol, State},
    write::{Kind, Phase, Writer},
};

/// How a configuration uses tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagging {
    /// The loader names the tag, not the caller.
    pub(crate) by_loader: bool,
    /// How often something in Redis gets lost.
    pub(crate) losses: u8,
    /// How often a replica takes the place of the server that has the tags.
    pub(crate) failovers: u8,
}

/// A value of the clock, and of the tag that was invalidated at this value. Values of different
/// epochs cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    epoch: u8,
    count: u8,
}

impl Clock {
    /// Whether a load that began at this value saw all that was invalidated up to `newest`.
    pub(crate) fn covers(self, newest: Clock) -> bool {
        self.epoch == newest.epoch && self.count >= newest.count
    }
}

/// What a reader read of the tags before it may load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) clock: Clock,
    /// The oldest load that it may share: that of its tag, or if it does not know the tag, that of
    /// the clock.
    pub(crate) least: Clock,
    /// Its tag, or if it does not know the tag, the beginning of the epoch. A load that is older
    /// is of no use to any other reader either.
    pub(crate) known: Clock,
    /// A floor stands.
    pub(crate) reads_primary: bool,
}

/// What the slot of the tags holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tags {
    clock: Option<Clock>,
    tag: Option<Clock>,
    /// The version that the primary's replica has when the floor of the tags lapses.
    floor: Option<u8>,
    /// As many epochs have begun.
    epochs: u8,
    /// The clock got its epoch from a server that has been replaced.
    is_inherited: bool,
    /// Clock and tag on the replica of this server.
    replicated: (Option<Clock>, Option<Clock>),
    losses: u8,
    failovers: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Tag,
    Clock,
    /// All keys, also those of the record.
    All,
}

impl Tags {
    /// Nothing has happened yet. `warm`: clock and tag have values.
    pub(crate) fn new(tagging: Tagging, warm: bool) -> Tags {
        let clock = warm.then_some(Clock { epoch: 1, count: 0 });
        Tags {
            clock,
            tag: clock,
            floor: None,
            epochs: u8::from(warm),
            is_inherited: false,
            replicated: (clock, clock),
            losses: tagging.losses,
            failovers: tagging.failovers,
        }
    }

    pub(crate) fn clock(&self) -> Option<Clock> {
        self.clock
    }

    fn begin_epoch(&mut self, mutation: Option<Mutation>) -> Clock {
        self.epochs += 1;
        self.is_inherited = false;
        let epoch = match mutation {
            Some(Mutation::EpochUsedAgain) => 1,
            _ => self.epochs,
        };
        *self.clock.insert(Clock { epoch, count: 0 })
    }

    /// `read_tags` of the clock alone.
    pub(crate) fn read_clock(&mut self, mutation: Option<Mutation>) -> Clock {
        match self.clock {
            Some(clock) => clock,
            None => self.begin_epoch(mutation),
        }
    }

    /// `read_tags`: gives them values where they are missing.
    fn read(&mut self, mutation: Option<Mutation>) -> (Clock, Clock) {
        let clock = self.read_clock(mutation);
        if mutation == Some(Mutation::MissingTagIsOld) && self.tag.is_none() {
            return (clock, Clock { count: 0, ..clock });
        }
        // Nothing has been invalidated since the clock got this value.
        let tag = self.tag.filter(|tag| tag.epoch == clock.epoch);
        (clock, *self.tag.insert(tag.unwrap_or(clock)))
    }

    /// `invalidate_tag`. `until`: the version that a replica of the primary will have when the
    /// floor lapses.
    fn invalidate(&mut self, until: Option<u8>, mutation: Option<Mutation>) {
        let may_go_on = !self.is_inherited || mutation == Some(Mutation::FailoverKeepsEpoch);
        let clock = self.clock.filter(|_| may_go_on);
        let Clock { epoch, count } = clock.unwrap_or_else(|| self.begin_epoch(mutation));
        let count = count + 1;
        self.clock = Some(Clock { epoch, count });
        self.tag = self.clock;
        if mutation != Some(Mutation::TagLeavesFloor) {
            self.floor = until.or(self.floor);
        }
    }

    /// What can still get lost, and what can still be replicated: see `steps_left`.
    pub(crate) fn events_left(&self, per_failover: usize) -> usize {
        2 * usize::from(self.losses)
            + usize::from(self.failovers) * per_failover
            + usize::from(self.may_fail_over() && self.replicated != (self.clock, self.tag))
            + usize::from(self.floor.is_some())
    }

    pub(crate) fn may_lose(&self) -> bool {
        self.losses > 0
    }

    pub(crate) fn may_fail_over(&self) -> bool {
        self.failovers > 0
    }
}

impl Redis {
    fn tags(&mut self) -> &mut Tags {
        self.tags.as_mut().expect("a configuration with tags")
    }

    pub(crate) fn replicate_tags(&mut self) {
        let tags = self.tags();
        tags.replicated = (tags.clock, tags.tag);
    }
}

impl State {
    /// A reader's request for the clock, and for the tag if it knows it. Returns what it read of
    /// the tag.
    pub(crate) fn view_tags(
        &mut self,
        protocol: &Protocol,
        reader: usize,
        seen: Option<Data>,
    ) -> Clock {
        let by_loader = protocol.tags.is_some_and(|it| it.by_loader);
        let knows_tag = !by_loader || seen.is_some();
        let tags = self.redis.tags();
        let (clock, tag) = if knows_tag {
            tags.read(protocol.mutation)
        } else {
            let clock = tags.read_clock(protocol.mutation);
            (clock, clock)
        };
        self.views[reader] = Some(View {
            clock,
            // What it has seen need not be what another load under way will fill.
            least: if by_loader { clock } else { tag },
            known: if by_loader {
                Clock { count: 0, ..clock }
            } else {
                tag
            },
            reads_primary: tags.floor.is_some(),
        });
        tag
    }

    /// Whether a reader may get a record with this stamp.
    pub(crate) fn will_do(&self, reader: usize, stamp: Option<Clock>) -> bool {
        self.views[reader].is_none_or(|view| stamp.is_some_and(|it| it.covers(view.least)))
    }

    /// The value of the clock that a reader's load is filled with.
    pub(crate) fn stamp(&self, reader: usize) -> Option<Clock> {
        self.views[reader].map(|view| view.clock)
    }

    /// The last step of `invalidate_tag`, or the one before the last. While the slot is migrating,
    /// the clock and the tag are deleted one after the other.
    pub(crate) fn invalidate_tag(&mut self, protocol: &Protocol, writer: usize, version: u8) {
        let until = protocol.versions.then_some(self.primary.rest);
        let is_apart = protocol.writers[writer].apart;
        if is_apart {
            let tags = self.redis.tags();
            tags.floor = until.or(tags.floor);
            tags.clock = None;
        } else {
            self.redis.tags().invalidate(until, protocol.mutation);
        }
        if is_apart || protocol.tags.is_some_and(|it| it.failovers > 0) {
            self.writers[writer].phase = Phase::HalfEnded {
                version,
                crash_safe: false,
            };
        } else {
            self.writers[writer] = Writer::ABSENT;
            self.promise(Kind::InvalidateTag, version);
        }
    }

    /// The last step. In a migrating slot, the tag is deleted; else the replica has the value.
    pub(crate) fn end_tag(&mut self, protocol: &Protocol, writer: usize, version: u8) {
        let tags = self.redis.tags();
        if protocol.writers[writer].apart {
            tags.tag = None;
        }
        tags.replicated = (tags.clock, tags.tag);
        self.writers[writer] = Writer::ABSENT;
        self.promise(Kind::InvalidateTag, version);
    }

    pub(crate) fn lose(&mut self, protocol: &Protocol, loss: Loss) {
        let tags = self.redis.tags();
        tags.losses -= 1;
        if loss != Loss::Clock {
            tags.tag = None;
        }
        if loss != Loss::Tag {
            tags.clock = None;
        }
        if loss == Loss::All {
            let tags = self.redis.tags;
            self.redis = Redis {
                tags,
                ..Redis::default()
            };
            self.leases_end();
            for writer in 0..protocol.writers.len() {
                self.lapse_guard(protocol, writer);
            }
        }
    }

    /// The replica takes over. Invalidations that have not returned are repeated.
    pub(crate) fn fail_over(&mut self, protocol: &Protocol) {
        let tags = self.redis.tags();
        tags.failovers -= 1;
        (tags.clock, tags.tag) = tags.replicated;
        tags.is_inherited = true;
        for (writer, write) in self.writers.iter_mut().zip(protocol.writers) {
            if let (Phase::HalfEnded { version, .. }, Kind::InvalidateTag) =
                (writer.phase, write.kind)
            {
                writer.phase = Phase::Committed {
                    version,
                    crash_safe: false,
                    nonce: None,
                };
            }
        }
    }

    pub(crate) fn lapse_tag_floor(&mut self) {
        let replica = self.replica;
        let tags = self.redis.tags();
        tags.floor = tags.floor.filter(|&until| replica < until);
    }
}
