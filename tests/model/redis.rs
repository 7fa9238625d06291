//! The state of one key in Redis, and the scripts: each method is one script, atomic as in Redis.
//!
//! There is no clock. A thing with a TTL may lapse at any moment, so every timing is covered. A
//! renewal in time is a lapse that has not happened yet. So is a lapse that a step back of the
//! server's clock undoes, because nobody has met it.
//!
//! Such a step *stretches* what exists: it does not lapse before a script has shortened its TTL to
//! the one that it was given. A step forward is a lapse.

use crate::{
    mutation::Mutation,
    tags::{Clock, Tags, View},
    versions::Floor,
};

/// As many writers as any configuration has.
pub(crate) const WRITERS: usize = 3;

/// A record as versions: the field that `update_field` sets, and the rest, which other writers
/// change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) rest: u8,
    pub(crate) field: u8,
}

impl Record {
    /// Where the primary has no record yet, the cached "not found" stands for this.
    pub(crate) const FIRST: Record = Record { rest: 0, field: 0 };

    pub(crate) fn is_older_than(self, other: Record) -> bool {
        self.rest < other.rest || self.field < other.field
    }

    pub(crate) fn newest(self, other: Record) -> Record {
        Record {
            rest: self.rest.max(other.rest),
            field: self.field.max(other.field),
        }
    }
}

/// A token or a nonce. Random in the code. Here they are renumbered after each step, see
/// [`State::renumber`]: only equality with an earlier one matters.
///
/// [`State::renumber`]: crate::state::State::renumber
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) usize);

impl Token {
    /// The one drawn in this step, equal to no other.
    pub(crate) const FRESH: Token = Token(usize::MAX);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Data {
    pub(crate) record: Record,
    pub(crate) ttl: bool,
    /// With tags: the clock before the record was loaded.
    pub(crate) stamp: Option<Clock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lease {
    /// The STRING: the lease of one fill.
    Fill {
        token: Token,
        ttl: bool,
        stretched: bool,
        /// With tags: the clock before the load.
        stamp: Option<Clock>,
    },
    /// The HASH: a write guard with the entries of its writers. It expires with the last of them.
    Guard {
        nonce: Token,
        entries: [Option<Entry>; WRITERS],
    },
}

/// The instant in a guard's entry relative to Redis's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    Standing,
    Stretched,
    Lapsed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub(crate) data: Option<Data>,
    pub(crate) lease: Option<Lease>,
    /// The clock was set back, and no caller has met the lease key since.
    pub(crate) unmet: bool,
    /// Of a record with versions.
    pub(crate) floor: Option<Floor>,
    /// Of a configuration with tags.
    pub(crate) tags: Option<Tags>,
}

/// The answers of `acquire`, except the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquire {
    Acquired,
    Held(Token),
    Guarded(Token),
}

impl Redis {
    /// `stamp`: the clock that the caller has read. `view`: by which it judges an older load.
    pub(crate) fn acquire(
        &mut self,
        own: Token,
        stamp: Option<Clock>,
        view: Option<View>,
        mutation: Option<Mutation>,
    ) -> Acquire {
        self.unmet = false;
        let covers = |held: Option<Clock>, newest: fn(View) -> Clock| {
            view.is_none_or(|view| held.is_some_and(|held| held.covers(newest(view))))
        };
        if mutation != Some(Mutation::AcquireLeavesGuardStretched) {
            self.shorten_places();
        }
        match &mut self.lease {
            Some(Lease::Fill {
                token,
                stretched,
                stamp: held,
                ..
            }) if mutation != Some(Mutation::AcquireOverwrites)
                && (covers(*held, |view| view.least)
                    || mutation == Some(Mutation::OlderLoadJoined)) =>
            {
                *stretched &= mutation == Some(Mutation::AcquireLeavesLeaseStretched);
                Acquire::Held(*token)
            }
            // The load may be good for others, and its record will be judged by its own tag. So its
            // lease stays, and the caller loads beside it.
            Some(Lease::Fill {
                token,
                stretched,
                stamp: held,
                ..
            }) if mutation != Some(Mutation::AcquireOverwrites)
                && covers(*held, |view| view.known) =>
            {
                *stretched &= mutation == Some(Mutation::AcquireLeavesLeaseStretched);
                Acquire::Guarded(*token)
            }
            Some(Lease::Guard { nonce, entries }) => {
                // A dead writer is no longer waited for. A load during its entry may be older than
                // its commit, and must not be shared any more.
                if mutation != Some(Mutation::LapseKeepsNonce)
                    && entries.contains(&Some(Entry::Lapsed))
                {
                    *entries = entries.map(|entry| entry.filter(|&entry| entry != Entry::Lapsed));
                    *nonce = own;
                }
                Acquire::Guarded(*nonce)
            }
            _ => {
                self.lease = Some(Lease::Fill {
                    token: own,
                    ttl: mutation != Some(Mutation::AcquireWithoutTtl),
                    stretched: false,
                    stamp,
                });
                Acquire::Acquired
            }
        }
    }

    pub(crate) fn fill(
        &mut self,
        own: Token,
        record: Record,
        stamp: Option<Clock>,
        mutation: Option<Mutation>,
    ) {
        if self.is_held_by(own) {
            self.lease = None;
            if self.refuses(record) {
                return;
            }
        } else if mutation != Some(Mutation::FillIgnoresToken) {
            return;
        }
        self.data = Some(Data {
            record,
            ttl: mutation != Some(Mutation::FillWithoutTtl),
            stamp,
        });
    }

    /// The record gets its TTL again, and nothing else changes at the data key.
    pub(crate) fn keep(&mut self, own: Token) {
        self.release(own);
    }

    pub(crate) fn release(&mut self, own: Token) {
        if self.is_held_by(own) {
            self.lease = None;
        }
    }

    /// `renew` of a fill's lease. Without a clock it has no effect while the lease exists, unless
    /// the lease is stretched.
    pub(crate) fn renew_lease(&mut self, own: Token, mutation: Option<Mutation>) {
        match &mut self.lease {
            Some(Lease::Fill {
                token, stretched, ..
            }) if *token == own => *stretched = false,
            None if mutation == Some(Mutation::RenewalRevives) => {
                self.lease = Some(Lease::Fill {
                    token: own,
                    ttl: true,
                    stretched: false,
                    stamp: None,
                });
            }
            _ => {}
        }
    }

    /// `renew` of a writer's entry, even of a lapsed one, as long as another entry keeps the guard.
    pub(crate) fn renew_entry(&mut self, writer: usize) -> bool {
        if let Some(Lease::Guard { entries, .. }) = &mut self.lease
            && let Some(entry) = &mut entries[writer]
        {
            *entry = Entry::Standing;
            return true;
        }
        false
    }

    pub(crate) fn invalidate(&mut self, fresh: Token, mutation: Option<Mutation>) {
        self.data = None;
        self.end_loads(fresh, mutation);
    }

    /// One half of an invalidation in two steps.
    pub(crate) fn end_lease(&mut self, fresh: Token, mutation: Option<Mutation>) {
        self.end_loads(fresh, mutation);
    }

    /// The other one.
    pub(crate) fn unlink(&mut self) {
        self.data = None;
    }

    pub(crate) fn guard(&mut self, writer: usize, fresh: Token, mutation: Option<Mutation>) {
        self.data = None;
        let mut entries = match self.lease {
            Some(Lease::Guard { entries, .. })
                if mutation != Some(Mutation::GuardHoldsOneWriter) =>
            {
                entries
            }
            _ => [None; WRITERS],
        };
        entries[writer] = Some(Entry::Standing);
        self.lease = Some(Lease::Guard {
            nonce: fresh,
            entries,
        });
    }

    pub(crate) fn unguard(&mut self, writer: usize, fresh: Token, mutation: Option<Mutation>) {
        self.data = None;
        self.unmet = false;
        if mutation == Some(Mutation::GuardHoldsOneWriter) {
            self.lease = None;
            return;
        }
        if mutation != Some(Mutation::UnguardLeavesGuardStretched) {
            self.shorten_places();
        }
        self.end_loads(fresh, mutation);
        if let Some(Lease::Guard { entries, .. }) = &mut self.lease {
            entries[writer] = None;
        }
        self.drop_lapsed_guard();
    }

    pub(crate) fn update_field(
        &mut self,
        version: u8,
        is_sentinel: impl Fn(Record) -> bool,
        fresh: Token,
        mutation: Option<Mutation>,
    ) {
        if mutation != Some(Mutation::UpdateLeavesLease) {
            self.end_loads(fresh, mutation);
        }
        if let Some(data) = &mut self.data {
            if !is_sentinel(data.record) {
                data.record.field = version;
            } else if mutation != Some(Mutation::UpdateLeavesSentinel) {
                self.data = None;
            }
        }
    }

    pub(crate) fn expire_data(&mut self) {
        self.data = self.data.filter(|data| !data.ttl);
    }

    /// Whether there was one that can lapse.
    pub(crate) fn lapse_lease(&mut self) -> bool {
        let lapses = matches!(
            self.lease,
            Some(Lease::Fill {
                ttl: true,
                stretched: false,
                ..
            })
        );
        if lapses {
            self.lease = None;
        }
        lapses
    }

    /// False: the entry is stretched, so it does not lapse.
    pub(crate) fn lapse_entry(&mut self, writer: usize) -> bool {
        if self.is_stretched(writer) {
            return false;
        }
        if let Some(Lease::Guard { entries, .. }) = &mut self.lease
            && let Some(entry) = &mut entries[writer]
        {
            *entry = Entry::Lapsed;
        }
        self.drop_lapsed_guard();
        true
    }

    pub(crate) fn is_stretched(&self, writer: usize) -> bool {
        matches!(self.lease, Some(Lease::Guard { entries, .. }) if entries[writer] == Some(Entry::Stretched))
    }

    /// How many things are stretched.
    pub(crate) fn stretched(&self) -> usize {
        match self.lease {
            Some(Lease::Fill { stretched, .. }) => usize::from(stretched),
            Some(Lease::Guard { .. }) => (0..WRITERS).filter(|&it| self.is_stretched(it)).count(),
            None => 0,
        }
    }

    /// The clock of the server is set back. An entry that has lapsed stays so: if nobody has met
    /// that, the path without the lapse covers it.
    pub(crate) fn set_clock_back(&mut self) {
        match &mut self.lease {
            Some(Lease::Fill { stretched, .. }) => *stretched = true,
            Some(Lease::Guard { entries, .. }) => {
                for entry in entries.iter_mut().flatten() {
                    if *entry == Entry::Standing {
                        *entry = Entry::Stretched;
                    }
                }
            }
            None => {}
        }
        self.unmet = true;
    }

    fn shorten_places(&mut self) {
        if let Some(Lease::Guard { entries, .. }) = &mut self.lease {
            for entry in entries.iter_mut().flatten() {
                if *entry == Entry::Stretched {
                    *entry = Entry::Standing;
                }
            }
        }
    }

    pub(crate) fn is_held_by(&self, own: Token) -> bool {
        matches!(self.lease, Some(Lease::Fill { token, .. }) if token == own)
    }

    pub(crate) fn has_ttls(&self) -> bool {
        self.data.is_none_or(|data| data.ttl)
            && !matches!(self.lease, Some(Lease::Fill { ttl: false, .. }))
    }

    pub(crate) fn each_token(&mut self, mut see: impl FnMut(&mut Token)) {
        if let Some(Lease::Fill { token, .. } | Lease::Guard { nonce: token, .. }) = &mut self.lease
        {
            see(token);
        }
    }

    /// Whether a reader would get this token or nonce.
    pub(crate) fn names(&self, name: Token) -> bool {
        matches!(self.lease, Some(Lease::Fill { token: it, .. } | Lease::Guard { nonce: it, .. }) if it == name)
    }

    /// Ends every load in progress: a lease goes, a guard stays with another nonce.
    fn end_loads(&mut self, fresh: Token, mutation: Option<Mutation>) {
        match &mut self.lease {
            Some(Lease::Guard { nonce, .. }) => {
                if mutation != Some(Mutation::NonceKept) {
                    *nonce = fresh;
                }
            }
            _ => self.lease = None,
        }
    }

    fn drop_lapsed_guard(&mut self) {
        if let Some(Lease::Guard { entries, .. }) = &self.lease
            && !entries.iter().flatten().any(|&it| it != Entry::Lapsed)
        {
            self.lease = None;
        }
    }
}
