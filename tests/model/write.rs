//! The write paths, step by step: `invalidate`, `write` and `update_field`, with their commits.

use crate::{
    mutation::Mutation,
    redis::{Record, Token},
    state::{Protocol, State},
    tags::Clock,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invalidate,
    InvalidateAt,
    InvalidateTag,
    Write,
    WriteThrough,
    UpdateField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) phase: Phase,
    /// The time of its guard entry is not over, whatever is in Redis.
    pub(crate) guarded: bool,
    /// May renew once more.
    pub(crate) renewable: bool,
    /// With tags: the clock before the change of a write through.
    pub(crate) stamp: Option<Clock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Idle,
    /// `without_lapse`: its guard has existed all the time so far.
    Guarding {
        without_lapse: bool,
        /// The one that its guard has set, if it writes through.
        nonce: Option<Token>,
    },
    /// `crash_safe`: its guard existed until the commit.
    Committed {
        version: u8,
        crash_safe: bool,
        nonce: Option<Token>,
    },
    /// The first of its two final steps has been done.
    HalfEnded {
        version: u8,
        crash_safe: bool,
    },
    /// Died after a crash-safe commit. Its guard still exists.
    Mourned {
        version: u8,
    },
    /// Has returned, while its last request is still on its way. `nonce`: the one in that request,
    /// unless a new one was drawn when it was sent again.
    Repeating {
        nonce: Option<Token>,
    },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Guard,
    Commit,
    End,
    Renew,
    Repeat,
}

impl Writer {
    pub(crate) const ABSENT: Writer = Writer {
        phase: Phase::Ended,
        guarded: false,
        renewable: false,
        stamp: None,
    };

    pub(crate) fn idle(renews: bool) -> Writer {
        Writer {
            phase: Phase::Idle,
            guarded: false,
            renewable: renews,
            stamp: None,
        }
    }

    pub(crate) fn steps(self, kind: Kind) -> &'static [Step] {
        match (self.phase, kind) {
            (Phase::Idle, Kind::Write | Kind::WriteThrough) => &[Step::Guard],
            (Phase::Idle, _) => &[Step::Commit],
            (Phase::Guarding { .. }, _) => &[Step::Commit, Step::Renew],
            (Phase::Committed { .. }, _) => &[Step::End, Step::Renew],
            (Phase::HalfEnded { .. }, _) => &[Step::End],
            (Phase::Repeating { .. }, _) => &[Step::Repeat],
            (Phase::Mourned { .. } | Phase::Ended, _) => &[],
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        matches!(
            self.phase,
            Phase::Mourned { .. } | Phase::Repeating { .. } | Phase::Ended
        )
    }

    pub(crate) fn each_token(&mut self, mut see: impl FnMut(&mut Token)) {
        if let Phase::Repeating { nonce: Some(nonce) }
        | Phase::Guarding {
            nonce: Some(nonce), ..
        }
        | Phase::Committed {
            nonce: Some(nonce), ..
        } = &mut self.phase
        {
            see(nonce);
        }
    }
}

impl State {
    pub(crate) fn write(&mut self, protocol: &Protocol, writer: usize, step: Step) {
        let kind = protocol.writers[writer].kind;
        match (self.writers[writer].phase, step) {
            (Phase::Idle, Step::Guard) => {
                self.redis.guard(writer, Token::FRESH, protocol.mutation);
                self.guard_floor(protocol, writer);
                self.leases_end();
                self.writers[writer].guarded = true;
                if kind == Kind::WriteThrough {
                    let tags = self.redis.tags.as_mut();
                    let stamp = tags.map(|tags| tags.read_clock(protocol.mutation));
                    self.writers[writer].stamp = stamp;
                }
                self.writers[writer].phase = Phase::Guarding {
                    without_lapse: true,
                    nonce: (kind == Kind::WriteThrough).then_some(Token::FRESH),
                };
            }
            (Phase::Idle, Step::Commit) => self.commit(kind, writer, false, None),
            (
                Phase::Guarding {
                    without_lapse,
                    nonce,
                },
                Step::Commit,
            ) => {
                self.commit(kind, writer, without_lapse, nonce);
            }
            (Phase::Committed { version, .. }, Step::End) if kind == Kind::InvalidateTag => {
                self.invalidate_tag(protocol, writer, version);
            }
            (Phase::HalfEnded { version, .. }, Step::End) if kind == Kind::InvalidateTag => {
                self.end_tag(protocol, writer, version);
            }
            (
                Phase::Committed {
                    version,
                    crash_safe,
                    ..
                },
                Step::End,
            ) if protocol.writers[writer].apart => {
                self.half_end(
                    protocol,
                    protocol.mutation != Some(Mutation::RecordEndsFirst),
                );
                self.writers[writer].phase = Phase::HalfEnded {
                    version,
                    crash_safe,
                };
            }
            (Phase::HalfEnded { version, .. }, Step::End) => {
                self.half_end(
                    protocol,
                    protocol.mutation == Some(Mutation::RecordEndsFirst),
                );
                self.promise(kind, version);
                // Its place in the guard stays until it lapses.
                self.writers[writer].renewable = false;
                self.writers[writer].phase = Phase::Ended;
            }
            (Phase::Committed { version, nonce, .. }, Step::End) if kind == Kind::WriteThrough => {
                self.write_through(protocol, writer, version, nonce);
                self.leases_end();
                self.promise(kind, version);
                self.writers[writer] = Writer::ABSENT;
            }
            (Phase::Committed { version, .. }, Step::End) => {
                self.send_end(protocol, writer, version, Token::FRESH);
                self.promise(kind, version);
                self.writers[writer] = Writer::ABSENT;
                if protocol.writers[writer].repeats {
                    let keeps = protocol.mutation == Some(Mutation::RepeatKeepsNonce);
                    let nonce = keeps.then_some(Token::FRESH);
                    self.writers[writer].phase = Phase::Repeating { nonce };
                }
            }
            (Phase::Repeating { nonce }, Step::Repeat) => {
                // A field update is not sent again: late, it could set an old value.
                self.send_end(protocol, writer, 0, nonce.unwrap_or(Token::FRESH));
                self.writers[writer] = Writer::ABSENT;
            }
            (_, Step::Renew) => self.renew_guard(writer),
            _ => {}
        }
    }

    fn commit(&mut self, kind: Kind, writer: usize, crash_safe: bool, nonce: Option<Token>) {
        let version = match kind {
            Kind::UpdateField => &mut self.primary.field,
            _ => &mut self.primary.rest,
        };
        *version += 1;
        self.writers[writer].phase = Phase::Committed {
            version: *version,
            crash_safe,
            nonce,
        };
    }

    fn send_end(&mut self, protocol: &Protocol, writer: usize, version: u8, nonce: Token) {
        match protocol.writers[writer].kind {
            Kind::Invalidate => {
                self.redis.invalidate(nonce, protocol.mutation);
                self.raise_floor(protocol, None);
            }
            Kind::InvalidateAt => {
                self.redis.invalidate(nonce, protocol.mutation);
                self.raise_floor(protocol, Some(version));
            }
            Kind::Write => {
                self.redis.unguard(writer, nonce, protocol.mutation);
                self.raise_floor_by(protocol, writer, None);
            }
            Kind::WriteThrough => self.write_through(protocol, writer, version, None),
            Kind::InvalidateTag => {}
            Kind::UpdateField => {
                let is_sentinel = |record| protocol.not_found && record == Record::FIRST;
                self.redis
                    .update_field(version, is_sentinel, nonce, protocol.mutation);
            }
        }
        self.leases_end();
    }

    /// Ends the loads, or the record.
    fn half_end(&mut self, protocol: &Protocol, loads: bool) {
        if loads {
            self.redis.end_lease(Token::FRESH, protocol.mutation);
            self.leases_end();
        } else {
            self.redis.unlink();
        }
    }

    fn renew_guard(&mut self, writer: usize) {
        let is_stretched = self.redis.is_stretched(writer);
        let renewing = &mut self.writers[writer];
        if renewing.renewable && is_stretched {
            self.redis.renew_entry(writer);
            return;
        }
        if renewing.renewable && !renewing.guarded && self.redis.renew_entry(writer) {
            renewing.guarded = true;
            renewing.renewable = false;
        }
    }

    /// A writer's guard entry lapses, whether the writer is dead or slow.
    pub(crate) fn lapse_guard(&mut self, protocol: &Protocol, writer: usize) {
        if !self.redis.lapse_entry(writer) {
            return;
        }
        self.keep_floor(protocol.mutation);
        let lapsing = &mut self.writers[writer];
        lapsing.guarded = false;
        match lapsing.phase {
            Phase::Guarding { nonce, .. } => {
                lapsing.phase = Phase::Guarding {
                    without_lapse: false,
                    nonce,
                };
            }
            Phase::Mourned { version } => {
                *lapsing = Writer::ABSENT;
                self.promise(Kind::Write, version);
            }
            _ => {}
        }
    }

    /// The writer's process dies. Its guard stays until it lapses.
    pub(crate) fn crash_writer(&mut self, protocol: &Protocol, writer: usize) {
        let dying = &mut self.writers[writer];
        dying.renewable = false;
        dying.phase = match dying.phase {
            Phase::Committed {
                version,
                crash_safe: true,
                ..
            }
            | Phase::HalfEnded {
                version,
                crash_safe: true,
            } => Phase::Mourned { version },
            _ => Phase::Ended,
        };
        if !dying.guarded {
            self.lapse_guard(protocol, writer);
        }
    }

    /// From here on no new lookup may get an older record.
    pub(crate) fn promise(&mut self, kind: Kind, version: u8) {
        let record = match kind {
            Kind::UpdateField => Record {
                field: version,
                ..Record::FIRST
            },
            _ => Record {
                rest: version,
                ..Record::FIRST
            },
        };
        self.floor = self.floor.newest(record);
    }
}
