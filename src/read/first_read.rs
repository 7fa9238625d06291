//! What the first read of a record leads to.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{lookup::LookupContext, refresh::Cached};
use crate::{
    engine::{FirstReadResult, freshness::State},
    error::Error,
    near::Placeholder,
    outcome::Lookup,
    store::Entry,
    telemetry::event::{Event, Miss},
};

/// What the first read found.
pub(super) enum FirstRead<R> {
    Hit(Lookup<R>),
    /// It should be refreshed.
    Due(Cached<R>),
    /// There is no usable record. `recheck`: there may be one when the lease is asked for.
    Missed {
        recheck: bool,
    },
    /// Redis did not answer.
    Unanswered(Error),
}

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// Judges the first read. A fresh record is put into the near cache.
    pub(super) fn first_read(
        &self,
        read: FirstReadResult,
        placeholder: Option<Placeholder<'_, R>>,
    ) -> FirstRead<R> {
        let missed = |reason| {
            let id = self.id;
            self.report(&Event::Missed { id, reason });
        };
        match read {
            Ok((Entry::Record(fields), left)) => {
                if let Ok(record) = self.engine.decode(self.id, fields) {
                    return self.on_found(record.map(Arc::new), left, placeholder);
                }
                missed(Miss::Unreadable);
                // A second read would find the same.
                FirstRead::Missed { recheck: false }
            }
            Ok((Entry::Absent, _)) => {
                missed(Miss::Absent);
                FirstRead::Missed { recheck: true }
            }
            Ok((Entry::WrongType, _)) => {
                self.report(&Event::Unreadable { id: self.id });
                missed(Miss::Unreadable);
                FirstRead::Missed { recheck: true }
            }
            Err(failure) => {
                missed(Miss::Unanswered);
                FirstRead::Unanswered(failure)
            }
        }
    }

    fn on_found(
        &self,
        record: Option<Arc<R>>,
        left: Option<Duration>,
        placeholder: Option<Placeholder<'_, R>>,
    ) -> FirstRead<R> {
        let Some(left) = left else {
            return FirstRead::Hit(self.hit(record));
        };
        let (freshness, load_time) = (&self.engine.settings.freshness, self.engine.load_time.get());
        // A negative entry is fresh as long as it is there.
        let mut fresh_for = left;
        if let Some(record) = &record {
            let state = freshness.of(left, load_time);
            if state != State::Fresh {
                return FirstRead::Due(Cached::new(Arc::clone(record), state, left));
            }
            fresh_for = freshness.fresh_for(left, load_time);
        }
        if let Some(placeholder) = placeholder {
            placeholder.fill(record.clone(), fresh_for);
        }
        FirstRead::Hit(self.hit(record))
    }
}
