//! The input of the checker: the steps, the properties, and why every path ends.

use stateright::{Model, Property};

use crate::{
    reader::{Reader, Seen},
    redis::{Lease, Token, WRITERS},
    state::{Action, Protocol, READERS, State},
    write::{Phase, Step, Writer},
};

pub(crate) const FRESH: &str = "G1, G1c, G7: no lookup gets what is older than it may be";
pub(crate) const ONE_LEADER: &str = "G2: while its lease is live, a leader is the only one";
pub(crate) const TTLS: &str = "G6: whatever stands in Redis has a TTL";
pub(crate) const ALL_END: &str = "where no step is left to take, every caller has ended";
pub(crate) const SHORTENED: &str =
    "where no step is left to take, nothing that a caller has met is at the lease key";
const GUARDED: &str = "G1c: nothing is cached while a guard stands";
/// Not a guarantee of the protocol: it shows that the explored paths are the intended ones.
const FOLLOWED: &str = "a flight is followed";
const REFUSED: &str = "a fill is about to be refused";

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        State::initial(self)
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(self, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = state.after(self, action);
        if next == *state {
            return None;
        }
        assert!(
            self.mutation.is_some() || next.steps_left() < state.steps_left(),
            "{action:?} comes no nearer to an end\nfrom {state:#?}\nto   {next:#?}"
        );
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FRESH, |_, state: &State| {
                !state.readers.contains(&Reader::Ended { stale: true })
            }),
            Property::always(ONE_LEADER, |_, state: &State| {
                let leads = |reader: &&Reader| matches!(reader, Reader::Leading { live: true, .. });
                state.readers.iter().filter(leads).count() <= 1
            }),
            Property::always(TTLS, |_, state: &State| state.redis.has_ttls()),
            Property::always(GUARDED, |_, state: &State| {
                !(state.redis.data.is_some()
                    && matches!(state.redis.lease, Some(Lease::Guard { .. })))
            }),
            Property::always(ALL_END, |protocol: &Protocol, state: &State| {
                state.have_all_ended() || !protocol.is_final(state)
            }),
            Property::always(SHORTENED, |protocol: &Protocol, state: &State| {
                state.redis.lease.is_none() || state.redis.unmet || !protocol.is_final(state)
            }),
            Property::sometimes(FOLLOWED, |_, state: &State| {
                let follows = |reader: &Reader| matches!(reader, Reader::Following { .. });
                state.readers.iter().any(follows)
            }),
            Property::sometimes(REFUSED, |_, state: &State| {
                state.readers.iter().any(|reader| {
                    matches!(
                        reader,
                        Reader::Leading {
                            live: false,
                            loaded: Some(_),
                            ..
                        }
                    )
                })
            }),
        ]
    }
}

impl Protocol {
    /// No property may depend on a crash, on a step of the clock, on a loss, on a failover, or on a
    /// lost request that arrives late.
    fn is_final(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        state.actions(self, &mut actions);
        actions.into_iter().all(|action| {
            matches!(
                action,
                Action::Crash(_)
                    | Action::ClockIsSetBack
                    | Action::Loses(_)
                    | Action::TagsFailOver
                    | Action::Writer(_, Step::Repeat)
            ) || self.next_state(state, action).is_none()
        })
    }
}

impl State {
    /// A number that falls with every step. `next_state` asserts this for each explored step. So
    /// there is no cycle, every path is finite, and a caller that never ends would be found at the
    /// end of a path.
    ///
    /// Steps that change Redis or advance a caller count most, each at least one. Their number is
    /// bounded: every fill, lease and guard that can still lapse needs such a step to set it. What
    /// is stretched counts one more, and so does a step of the clock that nobody has met. A floor
    /// counts one, and so does each version that the replica does not have yet. A waiting
    /// step changes neither, and brings its caller nearer to the point where it rests.
    fn steps_left(&self) -> usize {
        let mut changes = usize::from(self.redis.data.is_some());
        changes += usize::from(self.redis.floor.is_some());
        changes += usize::from(self.primary.rest - self.replica);
        if let Some(Lease::Fill { .. }) = self.redis.lease {
            changes += 1;
        }
        changes += self.redis.stretched() + usize::from(self.redis.unmet);
        changes += self.steps_back * (WRITERS + 2);
        // A failover may bring each writer back by one phase.
        let tags = self.redis.tags.as_ref();
        changes += tags.map_or(0, |tags| tags.events_left(6 * WRITERS + 2));
        let mut unrest = 0;
        for &reader in &self.readers {
            changes += 6 * reader.phases_left();
            unrest += self.unrest(reader);
        }
        for writer in &self.writers {
            changes += 6 * writer.phases_left() + usize::from(writer.guarded);
        }
        changes * (READERS * 4 + 1) + unrest
    }

    /// How far a waiting reader is from rest: watching or following the token that Redis names now.
    fn unrest(&self, reader: Reader) -> usize {
        let gone = |token: Token| !self.redis.names(token);
        match reader {
            Reader::Told { by, .. } if gone(by.name()) => 4,
            Reader::Told { .. } => 1,
            Reader::Asking { watch: None, .. } => 2,
            Reader::Asking {
                watch: Some(token), ..
            } => 3 * usize::from(gone(token)),
            Reader::Following { flight, .. } => 3 * usize::from(gone(flight)),
            _ => 0,
        }
    }
}

impl Writer {
    fn phases_left(self) -> usize {
        let phases = match self.phase {
            Phase::Idle => 4,
            Phase::Guarding { .. } => 3,
            Phase::Committed { .. } => 2,
            Phase::HalfEnded { .. } | Phase::Repeating { .. } => 1,
            Phase::Mourned { .. } | Phase::Ended => 0,
        };
        phases + usize::from(self.renewable)
    }
}

impl Reader {
    fn phases_left(self) -> usize {
        match self {
            Reader::Idle => 8,
            Reader::HasRead { .. } => 7,
            Reader::Asking { .. } | Reader::Told { .. } | Reader::Following { .. } => 6,
            Reader::Relaying { .. } | Reader::Refreshing { .. } => 5,
            Reader::Leading {
                seen: Seen::ToBeRead,
                ..
            } => 4,
            Reader::Leading { loaded: None, .. } | Reader::Bypassing { loaded: None, .. } => 3,
            Reader::Leading { .. } | Reader::Bypassing { .. } => 2,
            Reader::Releasing { .. } => 1,
            Reader::Ended { .. } => 0,
        }
    }
}
