//! Requests of the client that invalidate tags.
//!
//! Guarantees that a failed invalidation of a tag is pending before the call returns or unwinds,
//! and that the near caches of this process have dropped the records under the tag by then. Called
//! by the write path.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{StoreClient, how_ended, recovery::ClientState, unwind::panicked};
use crate::{
    backend::pending::{Replay, TagEnding, Target},
    error::{Error, cause::Cause},
    store::{Failure, FailureKind, Store, TagKeys},
    telemetry::{recorder::Began, reporter::Reporter},
};

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

impl ClientState {
    /// Replays the pending invalidations of tags, those of a namespace in one request for each
    /// thousand. Returns how many, or the first failure.
    pub(super) fn replay_tags(&self, all: &[Replay]) -> Result<u32, Failure> {
        let mut namespaces: HashMap<&str, Vec<(&Replay, &TagEnding)>> = HashMap::new();
        for replay in all {
            if let Target::Tag(tag) = &replay.target {
                let namespace = namespaces.entry(&tag.keys.clock).or_default();
                namespace.push((replay, tag));
            }
        }
        let (mut replayed, mut failed) = (0, None);
        for some in namespaces.values().flat_map(|all| all.chunks(AT_ONCE)) {
            let mut keys = some[0].1.keys.clone();
            keys.tags = some.iter().map(|(_, tag)| tag.key().to_owned()).collect();
            let life = some.iter().map(|(_, tag)| tag.life).max();
            let lag = some.iter().filter_map(|(_, tag)| tag.lag).max();
            let began = Began::now();
            match send(&*self.store, &keys, life.unwrap_or_default(), lag) {
                Ok(()) => {
                    for (replay, _) in some {
                        self.replayed(replay, began);
                        replayed += 1;
                    }
                }
                // A later request would wait as long, and fail for the same reason.
                Err(failure) if failure.kind == FailureKind::Unavailable => return Err(failure),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(replayed), Err)
    }
}

/// As many tags as a call may invalidate.
pub(crate) const AT_ONCE: usize = 1_000;

impl StoreClient {
    /// The reason why the store must not be asked for entries under these tags: the invalidation of
    /// one of them is pending. `any`: looks at all tags of the namespace.
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
        let (pending, began) = (&self.state.pending, Began::now());
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
        for tag in &keys.tags {
            self.evict(tag);
            reporter.recorder.ended(tag, began, how_ended(&answer));
        }
        answer
    }

    fn remember_tag(&self, reporter: &Arc<Reporter>, tag: &TagEnding, failure: &Error) {
        let memory = self.state.pending.remember_tag(tag, reporter);
        let what = (tag.name(), "no record under the tag is");
        self.report_remembered(reporter, what, &memory, failure);
        self.evict(tag.key());
    }
}
