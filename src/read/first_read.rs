//! Decides what follows from the first read of a record: a hit, a refresh, a load, or a degraded
//! lookup.
//!
//! Called by the read path for one id and for many. Sends nothing.

use std::time::Duration;

use super::{lookup::LookupContext, refresh::Cached};
use crate::{
    engine::{FirstReadResult, freshness::EntryState},
    error::Error,
    near::Placeholder,
    outcome::Answer,
    record::{any::AnyRecord, fields::Undecodable},
    store::{Entry, Recheck},
    telemetry::event::{Event, Miss},
};

/// The outcome of the first read.
pub(super) enum FirstRead {
    Hit(Answer),
    /// There is a record, and it should be refreshed: it is stale, or soon will be, or its age is
    /// unknown.
    Due(Cached),
    /// There is no usable record. `recheck`: which record answers when the lookup asks for the
    /// lease.
    Missed {
        recheck: Recheck,
    },
    /// Redis did not answer.
    Unanswered(Error),
}

impl LookupContext<'_> {
    /// Evaluates the first read. A fresh record enters the near cache.
    pub(super) fn first_read(
        &self,
        read: FirstReadResult,
        mut placeholder: Option<Placeholder<'_>>,
    ) -> FirstRead {
        let missed = |reason| {
            let id = self.id;
            self.report(&Event::Missed { id, reason });
        };
        match read {
            Ok((Entry::Record(fields), left)) => {
                if let (Some(tags), Some(placeholder)) = (&self.tags, &mut placeholder) {
                    placeholder.add_tags(&self.engine.listed_keys(tags, &fields));
                }
                let why = match self.record_of(fields) {
                    Ok(record) => return self.on_found(record, left, placeholder),
                    Err(why) => why,
                };
                self.engine.report_undecodable(self.id, why);
                missed(match why {
                    Undecodable::OtherSchema => Miss::OtherSchema,
                    Undecodable::Unreadable => Miss::Unreadable,
                    Undecodable::OlderThanTag => Miss::OlderThanTag,
                });
                FirstRead::Missed {
                    recheck: match why {
                        // The store compares the clock too, so it returns only another entry. After
                        // an invalidation many callers find the old one, and one of them loads.
                        Undecodable::OlderThanTag => Recheck::Always,
                        // A second read would find the same entry.
                        Undecodable::OtherSchema | Undecodable::Unreadable => Recheck::Never,
                    },
                }
            }
            Ok((Entry::Absent, _)) => {
                missed(Miss::Absent);
                FirstRead::Missed {
                    recheck: Recheck::Always,
                }
            }
            Ok((Entry::WrongType, _)) => {
                self.report(&Event::Unreadable { id: self.id });
                missed(Miss::Unreadable);
                FirstRead::Missed {
                    recheck: Recheck::Always,
                }
            }
            Err(failure) => {
                missed(Miss::Unanswered);
                FirstRead::Unanswered(failure)
            }
        }
    }

    fn on_found(
        &self,
        record: Option<AnyRecord>,
        left: Option<Duration>,
        placeholder: Option<Placeholder<'_>>,
    ) -> FirstRead {
        let Some(left) = left else {
            if self.config.max_age.is_some() {
                // The store finds no time left either, until the record is replaced.
                return self.on_too_old(Duration::ZERO);
            }
            return FirstRead::Hit(self.hit(record));
        };
        let (freshness, load_time) = (&self.engine.settings.freshness, self.engine.load_time.get());
        // Invariant: an entry has at most the time left that it was given. One with more is from
        // before a step back of the store's clock. Its age is unknown, so it is loaded again.
        let longest = self.engine.max_ttl(freshness.total_ttl(self.config.ttl));
        let is_known = left <= longest;
        let given = match &record {
            Some(_) => longest,
            None => self.engine.max_negative_ttl(),
        };
        // The entry may have been given less. Then it is younger than this.
        let age = given.checked_sub(left);
        if let Some(max_age) = self.config.max_age
            && (max_age.is_zero() || age.is_none_or(|age| age > max_age))
        {
            return self.on_too_old(left);
        }
        if !is_known {
            return self.on_unknown_age(record, left);
        }
        // A negative entry has no grace: it is fresh as long as it exists.
        let mut fresh_for = left;
        if let Some(record) = &record {
            let state = freshness.of(left, load_time);
            if state != EntryState::Fresh {
                return FirstRead::Due(Cached::new(record.clone(), state, left));
            }
            fresh_for = freshness.fresh_for(left, load_time);
        }
        if let Some(placeholder) = placeholder {
            placeholder.fill(record.clone(), fresh_for, age.unwrap_or(Duration::MAX));
        }
        FirstRead::Hit(self.hit(record))
    }

    /// Only a record that is filled or updated after this read has more time left than this one.
    fn on_too_old(&self, left: Duration) -> FirstRead {
        let (id, reason) = (self.id, Miss::TooOld);
        self.report(&Event::Missed { id, reason });
        let recheck = Recheck::IfOver(left);
        FirstRead::Missed { recheck }
    }

    fn on_unknown_age(&self, record: Option<AnyRecord>, left: Duration) -> FirstRead {
        if let Some(record) = record {
            return FirstRead::Due(Cached::new(record, EntryState::Due, left));
        }
        let (id, reason) = (self.id, Miss::Absent);
        self.report(&Event::Missed { id, reason });
        // A second read would find the same entry.
        FirstRead::Missed {
            recheck: Recheck::Never,
        }
    }
}
