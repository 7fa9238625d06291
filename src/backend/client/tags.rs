//! Requests of the client that invalidate tags.
//!
//! Guarantees that a failed invalidation of a tag is pending before the call returns or unwinds, and
//! that the near caches of this process have dropped the records under the tag by then. Called by
//! the write path.

use std::{sync::Arc, time::Duration};

use super::{StoreClient, unwind::panicked};
use crate::{
    backend::pending::TagEnding,
    error::{Error, cause::Cause},
    store::{Failure, FailureKind, Store, TagKeys},
    telemetry::reporter::Reporter,
};

impl TagEnding {
    /// Sends the invalidation of this tag alone.
    pub(super) fn send(&self, store: &dyn Store) -> Result<(), Failure> {
        send(store, &self.keys, self.life, self.lag)
    }
}

fn send(
    store: &dyn Store,
    keys: &TagKeys,
    life: Duration,
    lag: Option<Duration>,
) -> Result<(), Failure> {
    let Some(tagged) = store.tagged() else {
        let no_tags = "this store keeps no tags";
        return Err(Failure::new(FailureKind::Rejected, no_tags));
    };
    tagged.invalidate_tags(keys, life, lag)
}

/// Tags whose invalidation is under way. If a panic drops it, they are recorded as pending.
struct RememberTagsOnDrop<'a> {
    client: &'a StoreClient,
    reporter: &'a Arc<Reporter>,
    left: Vec<TagEnding>,
}

impl Drop for RememberTagsOnDrop<'_> {
    fn drop(&mut self) {
        for tag in &self.left {
            let failure = panicked("invalidate_tags");
            self.client.remember_tag(self.reporter, tag, &failure);
        }
    }
}

impl StoreClient {
    /// The reason why the store must not be asked for entries under these tags: the invalidation of
    /// one of them is pending. `any`: looks at all tags.
    pub(crate) fn bypass_tags(&self, tags: &TagKeys, any: bool) -> Option<Cause> {
        let why = self.state.pending.why_tags(tags, any)?;
        if self.postponed.is_due() {
            self.start_recovery();
        }
        Some(Arc::new(why))
    }

    /// Invalidates tags of one namespace in one request, and leaves floors if any cache on this
    /// client has versions.
    pub(crate) fn invalidate_tags(
        &self,
        reporter: &Arc<Reporter>,
        keys: &TagKeys,
        life: Duration,
    ) -> Result<(), Error> {
        let pending = &self.state.pending;
        let lag = pending.longest_lag();
        let tags = keys.tags.iter().map(|tag| TagEnding {
            keys: keys.only(tag),
            life,
            lag,
        });
        let tags: Vec<_> = tags.collect();
        // Taken before the request is sent. The request completes exactly the invalidations that
        // are pending by now, and no later ones.
        let replays: Vec<_> = tags
            .iter()
            .filter_map(|it| pending.of_key(it.key()))
            .collect();
        let mut on_drop = RememberTagsOnDrop {
            client: self,
            reporter,
            left: tags,
        };
        let answer = self.ask(reporter, "invalidate_tags", |store| {
            send(store, keys, life, lag)
        });
        let tags = std::mem::take(&mut on_drop.left);
        match &answer {
            Ok(()) => replays
                .iter()
                .for_each(|replay| self.state.complete(replay)),
            Err(failure) => {
                for tag in &tags {
                    self.remember_tag(reporter, tag, failure);
                }
            }
        }
        // After a failure was recorded as pending, as in `invalidate`.
        keys.tags.iter().for_each(|tag| self.evict(tag));
        answer
    }

    fn remember_tag(&self, reporter: &Arc<Reporter>, tag: &TagEnding, failure: &Error) {
        let memory = self.state.pending.remember_tag(tag, reporter);
        self.report_remembered(reporter, tag.name(), &memory, failure);
        self.evict(tag.key());
    }
}
