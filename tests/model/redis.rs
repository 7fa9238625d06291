//! The state of one key in Redis, and the scripts: each method is one script, atomic as in Redis.
//!
//! There is no clock. A thing with a TTL may lapse at any moment, so every timing is covered. A
//! renewal in time is a lapse that has not happened yet.

use crate::mutation::Mutation;

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lease {
    /// The STRING: the lease of one fill.
    Fill { token: Token, ttl: bool },
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
    Lapsed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub(crate) data: Option<Data>,
    pub(crate) lease: Option<Lease>,
}

/// The answers of `acquire`, except the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquire {
    Acquired,
    Held(Token),
    Guarded(Token),
}

impl Redis {
    pub(crate) fn acquire(&mut self, own: Token, mutation: Option<Mutation>) -> Acquire {
        match &mut self.lease {
            Some(Lease::Fill { token, .. }) if mutation != Some(Mutation::AcquireOverwrites) => {
                Acquire::Held(*token)
            }
            Some(Lease::Guard { nonce, entries }) => {
                // A dead writer is no longer waited for. A load during its entry may be older than
                // its commit, and must not be shared any more.
                if mutation != Some(Mutation::LapseKeepsNonce)
                    && entries.contains(&Some(Entry::Lapsed))
                {
                    *entries = entries.map(|entry| entry.filter(|&entry| entry == Entry::Standing));
                    *nonce = own;
                }
                Acquire::Guarded(*nonce)
            }
            _ => {
                self.lease = Some(Lease::Fill {
                    token: own,
                    ttl: mutation != Some(Mutation::AcquireWithoutTtl),
                });
                Acquire::Acquired
            }
        }
    }

    pub(crate) fn fill(&mut self, own: Token, record: Record, mutation: Option<Mutation>) {
        if self.is_held_by(own) {
            self.lease = None;
        } else if mutation != Some(Mutation::FillIgnoresToken) {
            return;
        }
        self.data = Some(Data {
            record,
            ttl: mutation != Some(Mutation::FillWithoutTtl),
        });
    }

    pub(crate) fn release(&mut self, own: Token) {
        if self.is_held_by(own) {
            self.lease = None;
        }
    }

    /// `renew` of a fill's lease. Without a clock it has no effect while the lease exists.
    pub(crate) fn renew_lease(&mut self, own: Token, mutation: Option<Mutation>) {
        if mutation == Some(Mutation::RenewalRevives) && self.lease.is_none() {
            self.lease = Some(Lease::Fill {
                token: own,
                ttl: true,
            });
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
        if mutation == Some(Mutation::GuardHoldsOneWriter) {
            self.lease = None;
            return;
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
        let lapses = matches!(self.lease, Some(Lease::Fill { ttl: true, .. }));
        if lapses {
            self.lease = None;
        }
        lapses
    }

    pub(crate) fn lapse_entry(&mut self, writer: usize) {
        if let Some(Lease::Guard { entries, .. }) = &mut self.lease
            && let Some(entry) = &mut entries[writer]
        {
            *entry = Entry::Lapsed;
        }
        self.drop_lapsed_guard();
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
            && !entries.contains(&Some(Entry::Standing))
        {
            self.lease = None;
        }
    }
}
