//! The state of one caller of the read path, and its possible steps.

use crate::{
    mutation::Mutation,
    redis::{Data, Record, Token},
    versions::Handed,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    Idle,
    /// With tags: has read the record, and not yet the tag.
    HasRead {
        floor: Record,
        data: Option<Data>,
    },
    /// About to ask for the lease: before the first request, or after a pause. `watch`: the token
    /// of another process's lease under which this caller has started a call.
    Asking {
        floor: Record,
        watch: Option<Token>,
    },
    /// Knows who holds the lease, and has not looked for a call yet.
    Told {
        floor: Record,
        by: Told,
        watch: Option<Token>,
    },
    /// Waits for the call of another reader in its process.
    Following {
        floor: Record,
        flight: Token,
    },
    /// A watcher that got a record which its followers do not have yet.
    Relaying {
        floor: Record,
        watch: Token,
        record: Record,
    },
    /// Has returned its hit, and goes on to refresh it. `hit`: the record, if the loader sees it.
    Refreshing {
        hit: Option<Record>,
    },
    /// Has acquired the lease. `live`: the lease has neither lapsed nor been ended by a write.
    Leading {
        floor: Record,
        token: Token,
        live: bool,
        handed: Handed,
        seen: Seen,
        loaded: Option<Record>,
    },
    /// Its loader panicked: the call is gone, the lease is not.
    Releasing {
        token: Token,
    },
    /// Loads during a write guard, for itself and for all readers that get the same nonce.
    Bypassing {
        floor: Record,
        nonce: Token,
        handed: Handed,
        loaded: Option<Record>,
    },
    /// `stale`: with an older record than allowed.
    Ended {
        stale: bool,
    },
}

/// The cached record that a loader sees, so that it can say that nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Nothing,
    /// It has not been read yet.
    ToBeRead,
    This(Record),
    /// The loader said that this has not changed, so it is kept.
    Unchanged(Record),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    Held(Token),
    Guarded(Token, Handed),
}

impl Told {
    pub(crate) fn name(self) -> Token {
        let (Told::Held(name) | Told::Guarded(name, _)) = self;
        name
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    ReadRecord,
    ReadTags,
    Ask,
    HitAndRefresh,
    LookForFlight,
    HandOver,
    AcquireToRefresh,
    ReadAgain,
    Load,
    Panic,
    Renew,
    Fill,
    Release,
    Leave,
}

impl Reader {
    pub(crate) const ENDED: Reader = Reader::Ended { stale: false };

    pub(crate) fn steps(self, has_tags: bool) -> &'static [Step] {
        match self {
            Reader::Idle if has_tags => &[Step::ReadRecord, Step::ReadTags],
            Reader::Idle => &[Step::Ask, Step::HitAndRefresh],
            Reader::HasRead { .. } => &[Step::ReadTags, Step::HitAndRefresh],
            Reader::Asking { .. } => &[Step::Ask],
            Reader::Told { .. } => &[Step::LookForFlight],
            Reader::Relaying { .. } => &[Step::HandOver],
            Reader::Refreshing { .. } => &[Step::AcquireToRefresh],
            Reader::Leading {
                seen: Seen::ToBeRead,
                ..
            } => &[Step::ReadAgain, Step::Renew],
            Reader::Leading { loaded: None, .. } => &[Step::Load, Step::Panic, Step::Renew],
            Reader::Leading { .. } => &[Step::Fill, Step::Renew],
            Reader::Releasing { .. } => &[Step::Release],
            Reader::Bypassing { loaded: None, .. } => &[Step::Load, Step::Panic],
            Reader::Bypassing { .. } => &[Step::Leave],
            Reader::Following { .. } | Reader::Ended { .. } => &[],
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        matches!(self, Reader::Ended { .. })
    }

    pub(crate) fn leading(floor: Record, token: Token, handed: Handed) -> Reader {
        Reader::Leading {
            floor,
            token,
            live: true,
            handed,
            seen: Seen::Nothing,
            loaded: None,
        }
    }

    /// Has the lease for a refresh. `hit`: the record that it had before, if its loader sees it.
    pub(crate) fn refreshing(
        own: Token,
        handed: Handed,
        hit: Option<Record>,
        mutation: Option<Mutation>,
    ) -> Reader {
        let mut reader = Reader::leading(Record::FIRST, own, handed);
        if let (Reader::Leading { seen, .. }, Some(hit)) = (&mut reader, hit) {
            *seen = if mutation == Some(Mutation::SeenBeforeLease) {
                Seen::This(hit)
            } else {
                Seen::ToBeRead
            };
        }
        reader
    }

    pub(crate) fn bypassing(floor: Record, nonce: Token, handed: Handed) -> Reader {
        Reader::Bypassing {
            floor,
            nonce,
            handed,
            loaded: None,
        }
    }

    pub(crate) fn given(floor: Record, record: Record) -> Reader {
        Reader::Ended {
            stale: record.is_older_than(floor),
        }
    }

    fn watch(self) -> Option<Token> {
        match self {
            Reader::Asking { watch, .. } | Reader::Told { watch, .. } => watch,
            Reader::Relaying { watch, .. } => Some(watch),
            _ => None,
        }
    }

    /// The token under which its call is in the table of its process. A leader starts its call
    /// before it asks. That is visible only once it has acquired: no caller gets its token earlier.
    pub(crate) fn flight(self) -> Option<Token> {
        match self {
            Reader::Leading { token, .. } => Some(token),
            Reader::Bypassing { nonce, .. } => Some(nonce),
            other => other.watch(),
        }
    }

    pub(crate) fn each_token(&mut self, mut see: impl FnMut(&mut Token)) {
        match self {
            Reader::Told { by, watch, .. } => {
                let (Told::Held(token) | Told::Guarded(token, _)) = by;
                see(token);
                watch.iter_mut().for_each(see);
            }
            Reader::Asking { watch, .. } => watch.iter_mut().for_each(see),
            Reader::Following { flight: token, .. }
            | Reader::Relaying { watch: token, .. }
            | Reader::Leading { token, .. }
            | Reader::Releasing { token }
            | Reader::Bypassing { nonce: token, .. } => see(token),
            Reader::Idle
            | Reader::HasRead { .. }
            | Reader::Refreshing { .. }
            | Reader::Ended { .. } => {}
        }
    }

    pub(crate) fn outcome(self) -> Option<Record> {
        match self {
            Reader::Leading { loaded, .. } | Reader::Bypassing { loaded, .. } => loaded,
            _ => None,
        }
    }
}
