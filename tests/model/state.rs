//! The whole state: one key in Redis, the primary, and the callers in their processes.

use crate::{
    mutation::Mutation,
    reader::{self, Reader},
    redis::{Data, Record, Redis, Token, WRITERS},
    tags::{Loss, Tagging, Tags, View},
    write::{self, Kind, Writer},
};

/// Two in process 0, so that one can lead what the other follows, and one in process 1.
pub(crate) const READERS: usize = 3;

pub(crate) fn process_of(reader: usize) -> usize {
    reader / 2
}

/// One configuration of the protocol.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of a configuration"
)]
pub(crate) struct Protocol {
    /// This many readers take part.
    pub(crate) readers: usize,
    /// [`WRITERS`] at most.
    pub(crate) writers: &'static [Write],
    /// Which processes may crash, each at any of its steps.
    pub(crate) crashes: &'static [usize],
    /// A reader that hits may go on to refresh the record.
    pub(crate) refresh: bool,
    /// The loader of a refresh sees the cached record, and may say that it has not changed.
    pub(crate) keep: bool,
    /// Any loader may panic.
    pub(crate) panic: bool,
    /// The primary has no record at first, and that may be cached.
    pub(crate) not_found: bool,
    /// How often the clock of the server is set back.
    pub(crate) steps_back: usize,
    /// Loaders may read a replica of the primary that lags, and there are floors.
    pub(crate) versions: bool,
    /// The record is under a tag.
    pub(crate) tags: Option<Tagging>,
    pub(crate) mutation: Option<Mutation>,
}

/// One write, and the process that does it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    pub(crate) process: usize,
    /// Its guard may be renewed once, after a lapse. A renewal in time is a lapse that did not
    /// happen.
    pub(crate) renews: bool,
    /// Its last request may be done twice, the second time late: it was sent again after a lost
    /// reply.
    pub(crate) repeats: bool,
    /// Its last step takes two, because the slot is migrating. Then its guard is left to lapse.
    pub(crate) apart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) redis: Redis,
    pub(crate) primary: Record,
    /// The version that a replica of the primary has. Without versions it is not read.
    pub(crate) replica: u8,
    /// The oldest record that a lookup which begins now may get.
    pub(crate) floor: Record,
    pub(crate) readers: [Reader; READERS],
    /// What each reader has read of the tags.
    pub(crate) views: [Option<View>; READERS],
    pub(crate) writers: [Writer; WRITERS],
    pub(crate) steps_back: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Reader(usize, reader::Step),
    Writer(usize, write::Step),
    DataExpires,
    LeaseLapses,
    GuardLapses(usize),
    Crash(usize),
    ClockIsSetBack,
    ReplicaCatchesUp,
    FloorLapses,
    TagFloorLapses,
    Loses(Loss),
    TagsAreReplicated,
    TagsFailOver,
}

impl State {
    /// The key is cold, or a record is cached.
    pub(crate) fn initial(protocol: &Protocol) -> Vec<State> {
        let cold = State {
            redis: Redis {
                tags: protocol.tags.map(|tagging| Tags::new(tagging, false)),
                ..Redis::default()
            },
            primary: Record::FIRST,
            replica: Record::FIRST.rest,
            floor: Record::FIRST,
            readers: std::array::from_fn(|reader| {
                if reader < protocol.readers {
                    Reader::Idle
                } else {
                    Reader::ENDED
                }
            }),
            views: [None; READERS],
            writers: std::array::from_fn(|writer| match protocol.writers.get(writer) {
                Some(write) => Writer::idle(write.renews),
                None => Writer::ABSENT,
            }),
            steps_back: protocol.steps_back,
        };
        let mut warm = cold;
        warm.redis.tags = protocol.tags.map(|tagging| Tags::new(tagging, true));
        warm.redis.data = Some(Data {
            record: Record::FIRST,
            ttl: true,
            stamp: warm.redis.tags.and_then(|tags| tags.clock()),
        });
        vec![cold, warm]
    }

    pub(crate) fn actions(&self, protocol: &Protocol, actions: &mut Vec<Action>) {
        for (id, reader) in self.readers.iter().enumerate() {
            // The readers of a process are alike, so the order in which they begin makes no
            // difference.
            let waits_its_turn = *reader == Reader::Idle
                && (0..id).any(|other| {
                    process_of(other) == process_of(id) && self.readers[other] == Reader::Idle
                });
            if !waits_its_turn {
                let steps = reader.steps(protocol.tags.is_some()).iter();
                actions.extend(steps.map(|&step| Action::Reader(id, step)));
            }
        }
        for (id, write) in protocol.writers.iter().enumerate() {
            let writer = self.writers[id];
            let steps = writer.steps(write.kind);
            actions.extend(steps.iter().map(|&step| Action::Writer(id, step)));
            if writer.guarded {
                actions.push(Action::GuardLapses(id));
            }
        }
        actions.push(Action::DataExpires);
        actions.push(Action::LeaseLapses);
        if protocol.versions {
            actions.extend([Action::ReplicaCatchesUp, Action::FloorLapses]);
        }
        if let Some(tags) = &self.redis.tags {
            if protocol.versions {
                actions.push(Action::TagFloorLapses);
            }
            if tags.may_lose() {
                actions.extend([Loss::Tag, Loss::Clock, Loss::All].map(Action::Loses));
            }
            if tags.may_fail_over() {
                actions.extend([Action::TagsAreReplicated, Action::TagsFailOver]);
            }
        }
        let crashes = protocol.crashes.iter().copied();
        let crashes = crashes.filter(|&process| self.is_busy(protocol, process));
        actions.extend(crashes.map(Action::Crash));
        // Without a lease key, a step changes nothing.
        if self.steps_back > 0 && self.redis.lease.is_some() {
            actions.push(Action::ClockIsSetBack);
        }
    }

    pub(crate) fn after(mut self, protocol: &Protocol, action: Action) -> State {
        match action {
            Action::Reader(reader, step) => self.read(protocol, reader, step),
            Action::Writer(writer, step) => self.write(protocol, writer, step),
            Action::DataExpires => self.redis.expire_data(),
            Action::LeaseLapses => {
                if self.redis.lapse_lease() {
                    self.leases_end();
                }
            }
            Action::GuardLapses(writer) => self.lapse_guard(protocol, writer),
            Action::Crash(process) => self.crash(protocol, process),
            Action::ClockIsSetBack => {
                self.steps_back -= 1;
                self.redis.set_clock_back();
            }
            Action::ReplicaCatchesUp => self.catch_up(),
            Action::FloorLapses => self.lapse_floor(protocol.mutation),
            Action::TagFloorLapses => self.lapse_tag_floor(),
            Action::Loses(loss) => self.lose(protocol, loss),
            Action::TagsAreReplicated => self.redis.replicate_tags(),
            Action::TagsFailOver => self.fail_over(protocol),
        }
        if protocol.tags.is_some() {
            self.forget_views();
        }
        self.renumber();
        self
    }

    /// What a reader has read does not matter any more when it has ended.
    fn forget_views(&mut self) {
        for (view, reader) in self.views.iter_mut().zip(&self.readers) {
            if reader.has_ended() || matches!(reader, Reader::Releasing { .. }) {
                *view = None;
            }
        }
    }

    /// Numbers the tokens in the order of their appearance, so that states which differ only in the
    /// drawn tokens are equal.
    fn renumber(&mut self) {
        let mut before = [Token::FRESH; 2 * READERS + WRITERS + 1];
        let mut count = 0;
        let mut renumber = |token: &mut Token| {
            let mut number = 0;
            while number < count && before[number] != *token {
                number += 1;
            }
            before[number] = *token;
            count = count.max(number + 1);
            *token = Token(number);
        };
        self.redis.each_token(&mut renumber);
        for reader in &mut self.readers {
            reader.each_token(&mut renumber);
        }
        for writer in &mut self.writers {
            writer.each_token(&mut renumber);
        }
    }

    /// The leases that existed until now have lapsed or were ended by a write. Their leaders do not
    /// know.
    pub(crate) fn leases_end(&mut self) {
        for reader in &mut self.readers {
            if let Reader::Leading { live, .. } = reader {
                *live = false;
            }
        }
    }

    /// Its callers and their calls are gone. Its keys in Redis stay until they lapse.
    fn crash(&mut self, protocol: &Protocol, process: usize) {
        for (id, reader) in self.readers.iter_mut().enumerate() {
            if process_of(id) == process && !reader.has_ended() {
                *reader = Reader::ENDED;
            }
        }
        for (id, write) in protocol.writers.iter().enumerate() {
            if write.process == process && !self.writers[id].has_ended() {
                self.crash_writer(protocol, id);
            }
        }
    }

    /// A crash of a process that has not begun anything, or has ended everything, changes nothing.
    fn is_busy(&self, protocol: &Protocol, process: usize) -> bool {
        let reads = self.readers.iter().enumerate().any(|(id, reader)| {
            process_of(id) == process && !reader.has_ended() && *reader != Reader::Idle
        });
        reads
            || protocol.writers.iter().enumerate().any(|(id, write)| {
                let writer = self.writers[id];
                write.process == process
                    && !writer.has_ended()
                    && writer.phase != write::Phase::Idle
            })
    }

    pub(crate) fn have_all_ended(&self) -> bool {
        self.readers.iter().all(|reader| reader.has_ended())
            && self.writers.iter().all(|writer| writer.has_ended())
    }
}
