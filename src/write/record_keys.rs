//! The records that a write ends: of the cache's own prefix, and under the prefixes that it also
//! invalidates.
//!
//! Called by the write path.

use crate::{backend::client::unwind::Ending, engine::Engine, error::Error, store::keys::Keys};

/// The keys of the records to invalidate, each with its prefix.
pub(super) struct RecordKeys<'a>(pub(super) Vec<(&'a str, Keys)>);

impl<'a> RecordKeys<'a> {
    /// The records with these ids, under all prefixes that a write of the cache ends.
    pub(super) fn of<'id>(
        engine: &'a Engine,
        ids: impl IntoIterator<Item = &'id str>,
    ) -> Result<RecordKeys<'a>, Error> {
        let mut records = Vec::new();
        for id in ids {
            records.push((engine.settings.prefix.as_str(), engine.keys(id)?));
            records.extend(RecordKeys::under_other_prefixes(engine, id).0);
        }
        Ok(RecordKeys(records))
    }

    /// The records with this id under all these prefixes but the cache's own. On a cluster, a
    /// prefix may refuse an id that another one takes. Then there is no record under it.
    pub(super) fn under_other_prefixes(engine: &'a Engine, id: &str) -> RecordKeys<'a> {
        let keys = |prefix| Some((prefix, engine.keys_with(prefix, id).ok()?));
        RecordKeys(engine.prefixes().skip(1).filter_map(keys).collect())
    }

    /// Invalidates all of them, in one request. Returns how many of the cache's own were cached.
    pub(super) fn invalidate(&self, engine: &Engine) -> Result<u64, Error> {
        self.count(engine, |endings| engine.client.invalidate_all(endings))
    }

    /// Shortens the TTL of the cache's own to the grace, and invalidates those under other
    /// prefixes, which may have no grace. Returns how many of the cache's own were cached.
    pub(super) fn expire(&self, engine: &Engine) -> Result<u64, Error> {
        let (own, grace) = (
            engine.settings.prefix.as_str(),
            engine.settings.freshness.grace,
        );
        if grace.is_zero() {
            return self.invalidate(engine);
        }
        let is_own = |it: &Ending<'_>| it.prefix == own;
        self.count(engine, |endings| {
            engine.client.expire_all(endings, grace, is_own)
        })
    }

    fn count(
        &self,
        engine: &Engine,
        end: impl FnOnce(&[Ending<'_>]) -> Vec<Result<bool, Error>>,
    ) -> Result<u64, Error> {
        let own = engine.settings.prefix.as_str();
        let endings = self.0.iter().map(|(prefix, keys)| Ending {
            reporter: &engine.reporter,
            prefix,
            keys,
        });
        let endings: Vec<_> = endings.collect();
        let mut ended = 0;
        for ((prefix, _), answer) in self.0.iter().zip(end(&endings)) {
            ended += u64::from(answer? && *prefix == own);
        }
        Ok(ended)
    }
}
