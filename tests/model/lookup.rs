//! The read path of one caller, step by step, as in `src/read/`.
//!
//! Three simplifications, none of which hides an interleaving:
//!
//! - The first read (`HGETALL`) and the first `acquire` are one step. A read that misses tells its
//!   caller nothing. So the lookup behaves like one that begins later, right before `acquire`, for
//!   which *more* is guaranteed.
//! - A load and the completion of its call are one step. The outcome is settled when the primary
//!   has been read. A follower that finds the call later gets the same, sooner or later.
//! - A request without a new answer leaves everything as it was, and is no step.

use crate::{
    mutation::Mutation,
    reader::{Reader, Seen, Step, Told},
    redis::{Acquire, Lease, Record, Token},
    state::{Protocol, READERS, State, process_of},
};

impl State {
    pub(crate) fn read(&mut self, protocol: &Protocol, reader: usize, step: Step) {
        match (self.readers[reader], step) {
            (Reader::Idle, Step::Ask) => self.ask(protocol, reader, self.floor, None),
            (Reader::Asking { floor, watch }, Step::Ask) => {
                self.ask(protocol, reader, floor, watch);
            }
            (Reader::Idle, Step::HitAndRefresh) if protocol.refresh => self.hit(protocol, reader),
            (Reader::Idle, Step::ReadRecord) => {
                let (floor, data) = (self.floor, self.redis.data);
                self.readers[reader] = Reader::HasRead { floor, data };
            }
            (Reader::Idle, Step::ReadTags) => {
                self.view_tags(protocol, reader, None);
                let (floor, watch) = (self.floor, None);
                self.readers[reader] = Reader::Asking { floor, watch };
            }
            (Reader::HasRead { .. }, Step::ReadTags) => {
                self.judge(protocol, reader, Reader::ENDED);
            }
            (
                Reader::HasRead {
                    data: Some(data), ..
                },
                Step::HitAndRefresh,
            ) if protocol.refresh => {
                let hit = protocol.keep.then_some(data.record);
                self.judge(protocol, reader, Reader::Refreshing { hit });
            }
            (Reader::Told { floor, by, .. }, Step::LookForFlight) => {
                self.look_for_flight(protocol, reader, floor, by);
            }
            (Reader::Relaying { floor, record, .. }, Step::HandOver) => {
                self.complete(protocol, reader, record);
                self.readers[reader] = Reader::given(floor, record);
            }
            (Reader::Refreshing { hit }, Step::AcquireToRefresh) => {
                let own = Token::FRESH;
                let handed = self.handed(protocol, reader);
                let stamp = self.stamp(reader);
                // It replaces no load, not even an older one: it has a record.
                let acquired = self.redis.acquire(own, stamp, None, protocol.mutation);
                self.readers[reader] = match acquired {
                    Acquire::Acquired => Reader::refreshing(own, handed, hit, protocol.mutation),
                    Acquire::Held(_) | Acquire::Guarded(_) => Reader::ENDED,
                };
            }
            (Reader::Leading { .. }, Step::ReadAgain) => {
                // An entry that is too old for its tags is not shown to the loader.
                let data = self.redis.data;
                let data = data.filter(|data| self.will_do(reader, data.stamp));
                if let Reader::Leading { seen, .. } = &mut self.readers[reader] {
                    *seen = data.map_or(Seen::Nothing, |data| Seen::This(data.record));
                }
            }
            (Reader::Leading { .. } | Reader::Bypassing { .. }, Step::Load) => {
                self.load(protocol, reader);
            }
            (Reader::Leading { token, .. }, Step::Panic) if protocol.panic => {
                self.abandon(reader);
                self.readers[reader] = Reader::Releasing { token };
            }
            (Reader::Bypassing { .. }, Step::Panic) if protocol.panic => {
                self.abandon(reader);
                self.readers[reader] = Reader::ENDED;
            }
            (Reader::Leading { token, .. }, Step::Renew) => {
                self.redis.renew_lease(token, protocol.mutation);
            }
            (
                Reader::Leading {
                    token,
                    seen,
                    loaded: Some(record),
                    ..
                },
                Step::Fill,
            ) => {
                let mut stamp = self.stamp(reader);
                if protocol.mutation == Some(Mutation::StampedAtFill) {
                    stamp = self.redis.tags.and_then(|tags| tags.clock());
                }
                match seen {
                    Seen::Unchanged(_) => self.redis.keep(token),
                    _ => self.redis.fill(token, record, stamp, protocol.mutation),
                }
                self.readers[reader] = Reader::ENDED;
            }
            (Reader::Releasing { token }, Step::Release) => {
                self.redis.release(token);
                self.readers[reader] = Reader::ENDED;
            }
            (Reader::Bypassing { .. }, Step::Leave) => self.readers[reader] = Reader::ENDED,
            _ => {}
        }
    }

    fn ask(&mut self, protocol: &Protocol, reader: usize, floor: Record, watch: Option<Token>) {
        let data = self.redis.data;
        if let Some(data) = data.filter(|data| self.will_do(reader, data.stamp)) {
            self.readers[reader] = match watch {
                Some(watch) => Reader::Relaying {
                    floor,
                    watch,
                    record: data.record,
                },
                None => Reader::given(floor, data.record),
            };
            return;
        }
        if protocol.mutation == Some(Mutation::CallsByKey)
            && let Some(leader) = self.find_flight(reader, |_, _| true)
        {
            self.follow(reader, floor, leader);
            return;
        }
        let own = Token::FRESH;
        let handed = self.handed(protocol, reader);
        let view = self.views[reader];
        let replaces = view.is_some() && matches!(self.redis.lease, Some(Lease::Fill { .. }));
        let stamp = self.stamp(reader);
        let acquired = self.redis.acquire(own, stamp, view, protocol.mutation);
        if replaces && acquired == Acquire::Acquired {
            self.leases_end();
        }
        self.readers[reader] = match acquired {
            Acquire::Acquired => {
                self.abandon(reader);
                Reader::leading(floor, own, handed)
            }
            // Its own call is in the table already.
            Acquire::Guarded(nonce) if nonce == own => {
                self.abandon(reader);
                Reader::bypassing(floor, nonce, handed)
            }
            Acquire::Held(token) if watch == Some(token) => Reader::Asking { floor, watch },
            Acquire::Held(token) => Reader::Told {
                floor,
                by: Told::Held(token),
                watch,
            },
            Acquire::Guarded(nonce) => Reader::Told {
                floor,
                by: Told::Guarded(nonce, handed),
                watch,
            },
        };
    }

    fn hit(&mut self, protocol: &Protocol, reader: usize) {
        if let Some(data) = self.redis.data {
            let hit = protocol.keep.then_some(data.record);
            self.readers[reader] = match Reader::given(self.floor, data.record) {
                Reader::ENDED => Reader::Refreshing { hit },
                stale => stale,
            };
        }
    }

    /// With tags: reads the tag, and decides on the record that it has read before. `hit`: what
    /// follows if it is good.
    fn judge(&mut self, protocol: &Protocol, reader: usize, hit: Reader) {
        let Reader::HasRead { floor, data } = self.readers[reader] else {
            return;
        };
        let tag = self.view_tags(protocol, reader, data);
        let good = data.filter(|data| data.stamp.is_some_and(|stamp| stamp.covers(tag)));
        self.readers[reader] = match good.map(|data| Reader::given(floor, data.record)) {
            Some(Reader::ENDED) => hit,
            Some(stale) => stale,
            None => Reader::Asking { floor, watch: None },
        };
    }

    /// Follows the call under the token that Redis named. If there is none, it watches. Under a
    /// guard it loads for itself.
    fn look_for_flight(&mut self, protocol: &Protocol, reader: usize, floor: Record, by: Told) {
        // Its watch, if any, was for another token.
        self.abandon(reader);
        self.readers[reader] = Reader::Asking { floor, watch: None };
        let is_shared = |other: usize, token: Token| {
            token == by.name()
                && (matches!(by, Told::Held(_))
                    || protocol.mutation == Some(Mutation::GuardedLoadShared)
                    || self.will_do(reader, self.stamp(other)))
        };
        match (self.find_flight(reader, is_shared), by) {
            (Some(leader), _) => self.follow(reader, floor, leader),
            (None, Told::Held(token)) => {
                self.readers[reader] = Reader::Asking {
                    floor,
                    watch: Some(token),
                };
            }
            (None, Told::Guarded(nonce, handed)) => {
                self.readers[reader] = Reader::bypassing(floor, nonce, handed);
            }
        }
    }

    fn load(&mut self, protocol: &Protocol, reader: usize) {
        let (Reader::Leading { floor, handed, .. } | Reader::Bypassing { floor, handed, .. }) =
            self.readers[reader]
        else {
            return;
        };
        let mut record = self.loaded(protocol, handed);
        // A loader may look at a part of the record only, such as its time of change. It then
        // returns the record that it has seen.
        if let Reader::Leading { seen, .. } = &mut self.readers[reader]
            && let Seen::This(before) = *seen
            && before.rest == record.rest
        {
            *seen = Seen::Unchanged(before);
            record = before;
        }
        if record.is_older_than(floor) {
            assert!(protocol.versions, "the primary forgets nothing");
            self.readers[reader] = Reader::Ended { stale: true };
            return;
        }
        if let Reader::Leading { floor, loaded, .. } | Reader::Bypassing { floor, loaded, .. } =
            &mut self.readers[reader]
        {
            *loaded = Some(record);
            // Its answer has been checked.
            *floor = Record::FIRST;
        }
        self.complete(protocol, reader, record);
    }

    fn follow(&mut self, reader: usize, floor: Record, leader: usize) {
        let leader = self.readers[leader];
        self.readers[reader] = match (leader.outcome(), leader.flight()) {
            (Some(record), _) => Reader::given(floor, record),
            (None, Some(flight)) => Reader::Following { floor, flight },
            (None, None) => Reader::Asking { floor, watch: None },
        };
    }

    /// Another reader of the same process whose call has an acceptable token.
    fn find_flight(&self, reader: usize, is_it: impl Fn(usize, Token) -> bool) -> Option<usize> {
        (0..READERS).find(|&other| {
            other != reader
                && process_of(other) == process_of(reader)
                && self.readers[other]
                    .flight()
                    .is_some_and(|token| is_it(other, token))
        })
    }

    /// A load has ended, or a watcher got a record. With tags, and during a guard, loads of
    /// different views have the same token: who follows another one stays.
    fn complete(&mut self, protocol: &Protocol, leader: usize, record: Record) {
        let (Some(flight), stamp) = (self.readers[leader].flight(), self.stamp(leader)) else {
            return;
        };
        let may_share_all = [Mutation::GuardedLoadShared, Mutation::OlderLoadJoined];
        let is_shared_apart = match self.readers[leader] {
            Reader::Bypassing { .. } => true,
            Reader::Leading { .. } => stamp.is_some(),
            // A watcher. Its followers were told to wait for the same load.
            _ => false,
        };
        let has_others = is_shared_apart
            && protocol
                .mutation
                .is_none_or(|it| !may_share_all.contains(&it));
        self.wake_followers(leader, flight, |state, follower, floor| {
            if !has_others || state.will_do(follower, stamp) {
                Reader::given(floor, record)
            } else {
                state.readers[follower]
            }
        });
    }

    fn abandon(&mut self, leader: usize) {
        if let Some(flight) = self.readers[leader].flight() {
            self.wake_followers(leader, flight, |_, _, floor| Reader::Asking {
                floor,
                watch: None,
            });
        }
    }

    fn wake_followers(
        &mut self,
        leader: usize,
        ended: Token,
        wake: impl Fn(&State, usize, Record) -> Reader,
    ) {
        for id in 0..READERS {
            if let Reader::Following { floor, flight } = self.readers[id]
                && process_of(id) == process_of(leader)
                && ended == flight
            {
                self.readers[id] = wake(self, id, floor);
            }
        }
    }
}
