//! The hits that wait for their audit, and the choice of these hits.
//!
//! Guarantees that a hit which is not chosen pays for one random number and no lock, that a chosen
//! one waits for nothing, and that few samples wait. Called for every hit. The read path has the
//! thread that takes the samples, and knows what to do with them.

use std::collections::VecDeque;

use super::{Engine, lookup_tags::LookupTags};
use crate::{
    record::any::AnyRecord,
    telemetry::event::{Audited, Event},
    util::{
        random,
        worker::{Worker, WorkerContext},
    },
};

/// Enough for the hits of one batch, and few enough for the memory of large ids. The thread looks
/// at what is cached when it takes a sample, so an old sample is as good as a new one.
const MOST_WAITING: usize = 100;

/// A hit that was chosen.
pub(crate) struct AuditSample {
    pub(crate) id: String,
    /// The record, if it came from the near cache.
    pub(crate) near: Option<AnyRecord>,
    /// Those of the lookup, of which nothing was read yet.
    pub(crate) tags: Option<Box<LookupTags>>,
}

/// The samples that wait for the thread, the oldest first.
pub(crate) type WaitingSamples = VecDeque<AuditSample>;

/// The queue of one cache in one process.
pub(crate) struct AuditQueue {
    /// A hit is chosen if its random number is at most this.
    threshold: u64,
    worker: Worker<WaitingSamples>,
}

impl AuditQueue {
    /// `rate`: the share of hits, above 0 and at most 1. `run`: what the thread does. The first
    /// sample starts the thread, and the drop of the queue stops it.
    pub(crate) fn new(
        rate: f64,
        run: impl Fn(&WorkerContext<WaitingSamples>) + Send + Sync + 'static,
    ) -> AuditQueue {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share needs no 64th bit, and the result is in range"
        )]
        let threshold = (rate * u64::MAX as f64) as u64;
        AuditQueue {
            threshold,
            worker: Worker::new("cache-aside-audit", run),
        }
    }

    /// Returns whether there was a place for the sample.
    fn submit(&self, sample: AuditSample) -> bool {
        let mut sample = Some(sample);
        // If no thread can be started, the sample waits until one can.
        let _ = self.worker.update(|waiting| {
            if waiting.len() >= MOST_WAITING {
                return false;
            }
            waiting.extend(sample.take());
            // Otherwise the thread knows of an older one.
            waiting.len() == 1
        });
        sample.is_none()
    }
}

impl Engine {
    /// Called for each hit. Lets the audit look at some of them. `tags`: those of the lookup.
    /// `near`: the record, if it came from the near cache.
    #[inline]
    pub(crate) fn sample_hit(&self, id: &str, tags: Option<&LookupTags>, near: Option<&AnyRecord>) {
        if let Some(audit) = &self.audit
            && random::quick() <= audit.threshold
        {
            self.sample(audit, id, tags, near);
        }
    }

    #[cold]
    #[inline(never)]
    fn sample(
        &self,
        audit: &AuditQueue,
        id: &str,
        tags: Option<&LookupTags>,
        near: Option<&AnyRecord>,
    ) {
        let is_waiting = audit.submit(AuditSample {
            id: id.to_owned(),
            near: near.cloned(),
            tags: tags.map(|tags| Box::new(tags.unread())),
        });
        if !is_waiting {
            let outcome = Audited::Skipped;
            self.reporter.report(&Event::Audited { id, outcome });
        }
    }
}
