//! Where one caller of the read path stands, and what it can do next.

use crate::redis::{Record, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    Idle,
    /// About to ask for the lease; before the first question, or after a pause. `watch`: the token of
    /// another process's lease under which this caller has announced a flight.
    Asking {
        floor: Record,
        watch: Option<Token>,
    },
    /// Has been told who holds the lease, and has not looked for a flight yet.
    Told {
        floor: Record,
        by: Told,
        watch: Option<Token>,
    },
    /// Waits for the flight of another reader of its process.
    Following {
        floor: Record,
        flight: Token,
    },
    /// A watcher that was handed a record, and its followers don't know yet.
    Relaying {
        floor: Record,
        watch: Token,
        record: Record,
    },
    /// Has returned what it hit, and goes on to refresh it.
    Refreshing,
    /// Has acquired the lease. `live`: the lease has neither lapsed nor been ended by a write.
    Leading {
        floor: Record,
        token: Token,
        live: bool,
        loaded: Option<Record>,
    },
    /// Its loader panicked: the flight is gone, the lease is not.
    Releasing {
        token: Token,
    },
    /// Loads while a write guard stands, for itself and for whoever is told the same nonce.
    Bypassing {
        floor: Record,
        nonce: Token,
        loaded: Option<Record>,
    },
    /// `stale`: with something older than it may be.
    Ended {
        stale: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    Held(Token),
    Guarded(Token),
}

impl Told {
    pub(crate) fn name(self) -> Token {
        let (Told::Held(name) | Told::Guarded(name)) = self;
        name
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask,
    HitAndRefresh,
    LookForFlight,
    HandOver,
    AcquireToRefresh,
    Load,
    Panic,
    Renew,
    Fill,
    Release,
    Leave,
}

impl Reader {
    pub(crate) const ENDED: Reader = Reader::Ended { stale: false };

    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Reader::Idle => &[Step::Ask, Step::HitAndRefresh],
            Reader::Asking { .. } => &[Step::Ask],
            Reader::Told { .. } => &[Step::LookForFlight],
            Reader::Relaying { .. } => &[Step::HandOver],
            Reader::Refreshing => &[Step::AcquireToRefresh],
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

    pub(crate) fn leading(floor: Record, token: Token) -> Reader {
        Reader::Leading {
            floor,
            token,
            live: true,
            loaded: None,
        }
    }

    pub(crate) fn bypassing(floor: Record, nonce: Token) -> Reader {
        Reader::Bypassing {
            floor,
            nonce,
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

    /// The token under which its flight is in its process's table. That a leader announces before it asks
    /// shows only once it has acquired: nobody is told its token before.
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
                let (Told::Held(token) | Told::Guarded(token)) = by;
                see(token);
                watch.iter_mut().for_each(see);
            }
            Reader::Asking { watch, .. } => watch.iter_mut().for_each(see),
            Reader::Following { flight: token, .. }
            | Reader::Relaying { watch: token, .. }
            | Reader::Leading { token, .. }
            | Reader::Releasing { token }
            | Reader::Bypassing { nonce: token, .. } => see(token),
            Reader::Idle | Reader::Refreshing | Reader::Ended { .. } => {}
        }
    }

    pub(crate) fn outcome(self) -> Option<Record> {
        match self {
            Reader::Leading { loaded, .. } | Reader::Bypassing { loaded, .. } => loaded,
            _ => None,
        }
    }
}
