//! Lookups under tags: which tags they have, and their reads.
//!
//! Guarantees that an entry is good only if its load saw every invalidation of its tags that had
//! returned when the lookup began: [`Engine::record_of`] decides that for every call that reads
//! entries, by the rules in [`lookup_tags`](super::lookup_tags). Called by the read path, and by
//! writes that cache. Without tags, a lookup has no [`LookupTags`], and nothing here runs.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Engine, FirstReadResult, Settings, lookup_tags::LookupTags};
use crate::{
    error::Error,
    near::tags::{NearTags, TagChanges, TagStream},
    record::{
        any::AnyRecord,
        fields::{
            Fields, Undecodable, Unstorable,
            tag_fields::{TAG_CLOCK_FIELD, list_field, tags_in},
        },
    },
    store::{ChangeListener, Entry, Failure, FailureKind, Store, TagKeys, TagValues, TaggedStore},
    util::limits::LONGEST,
};

/// The steps of the store for tags.
fn tagged(store: &dyn Store) -> Result<&dyn TaggedStore, Failure> {
    let no_tags = || Failure::new(FailureKind::Rejected, "this store keeps no tags");
    store.tagged().ok_or_else(no_tags)
}

impl Settings {
    /// The keys of these tags. The namespace was checked when the cache was built.
    pub(crate) fn tag_keys(&self, tags: &[&str]) -> TagKeys {
        TagKeys::of(&self.tag_namespace, tags).expect("a namespace that was checked")
    }

    /// The tag of a cache with this prefix, if it has the setting `clear_by_tag`.
    pub(crate) fn tag_of_prefix(prefix: &str) -> String {
        format!("clear:{prefix}")
    }

    /// The tags of each lookup. `None`: lookups have no tags but those of their callers.
    pub(super) fn own_tags(&self) -> Option<Arc<TagKeys>> {
        let own = Settings::tag_of_prefix(&self.prefix);
        match (self.clear_by_tag, self.loader_tags) {
            (true, _) => Some(Arc::new(self.tag_keys(&[&own]))),
            (false, true) => Some(Arc::new(self.tag_keys(&[]))),
            (false, false) => None,
        }
    }
}

impl Engine {
    /// The tags of a lookup that its caller puts under these tags.
    #[inline]
    pub(crate) fn tags_of(&self, of_caller: &[&str]) -> Option<Box<LookupTags>> {
        if of_caller.is_empty() && self.own_tags.is_none() {
            return None;
        }
        Some(self.some_tags_of(of_caller))
    }

    #[inline(never)]
    fn some_tags_of(&self, of_caller: &[&str]) -> Box<LookupTags> {
        let keys = match (&self.own_tags, of_caller) {
            (Some(own), []) => Arc::clone(own),
            (own, of_caller) => {
                let mut keys = self.settings.tag_keys(of_caller);
                keys.tags
                    .extend(own.iter().flat_map(|own| own.tags.iter().cloned()));
                Arc::new(keys)
            }
        };
        let has_loader_tags = self.settings.loader_tags;
        Box::new(LookupTags::new(keys, of_caller.len(), has_loader_tags))
    }

    /// How long the clock and the tags live at least: longer than any entry that is filled now.
    pub(crate) fn tag_life(&self) -> Duration {
        let Settings {
            max_load_time,
            lease_ttl,
            versions,
            ..
        } = self.settings;
        let longest = self.max_ttl(Duration::ZERO);
        // Twice, so that a tag in use is seldom given a longer life.
        let life = 2 * (longest + max_load_time + lease_ttl + versions.unwrap_or_default());
        life.min(LONGEST)
    }

    /// The record in an entry that was read for a lookup. `None` if the entry says that no record
    /// exists. **The one place that decides whether an entry is good.** Reports nothing.
    pub(crate) fn record_of(
        &self,
        mut fields: Fields,
        tags: Option<&LookupTags>,
    ) -> Result<Option<AnyRecord>, Undecodable> {
        if let Some(tags) = tags {
            tags.take_fields(&mut fields)?;
        }
        (self.record_type.from_fields)(fields, &self.settings.schema)
    }

    /// Reads the entry at a data key, and the tags of the lookup. Also reads the TTL of the entry,
    /// if the settings or the caller need that.
    pub(crate) fn first_read(
        &self,
        data: &str,
        with_ttl: bool,
        tags: Option<&mut LookupTags>,
    ) -> FirstReadResult {
        match tags {
            None => self.read_entry(data, with_ttl),
            Some(tags) => self.read_under_tags(data, with_ttl, tags),
        }
    }

    #[inline(never)]
    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        tags: &mut LookupTags,
    ) -> FirstReadResult {
        self.refuse_pending(data, "read")?;
        self.refuse_pending_tags(tags, "read")?;
        let with_ttl = with_ttl || !self.settings.freshness.is_plain();
        let life = self.tag_life();
        let (entry, left, values) = self.ask("read", |store| {
            tagged(store)?.read_under_tags(data, with_ttl, &tags.keys, life)
        })?;
        tags.set_view(&values);
        self.read_listed(&mut [(&entry, tags)])?;
        Ok((entry, left.left().filter(|_| with_ttl)))
    }

    /// Reads the tags of lookups whose entries are read by other requests.
    pub(crate) fn read_tags(&self, tags: &mut LookupTags) -> Result<(), Error> {
        self.refuse_pending_tags(tags, "read_tags")?;
        let life = self.tag_life();
        let values = self.ask("read_tags", |store| {
            tagged(store)?.read_tags(&tags.keys, life)
        })?;
        tags.set_view(&values);
        Ok(())
    }

    /// Reads the tags that these entries list, in one request. Sends nothing if the entries can be
    /// judged without.
    pub(crate) fn read_listed(&self, reads: &mut [(&Entry, &mut LookupTags)]) -> Result<(), Error> {
        // Each tag once: the records of a batch have many in common.
        let (mut names, mut known) = (Vec::new(), HashMap::new());
        let mut place = |name| {
            *known.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let mut places = Vec::new();
        for (at, (entry, tags)) in reads.iter().enumerate() {
            // A list that is none makes the entry unusable.
            let listed = tags.list_to_read(entry);
            if let Some((list, listed)) = listed.and_then(|list| Some((list, tags_in(list)?))) {
                let listed: Vec<_> = listed.into_iter().map(&mut place).collect();
                places.push((at, list, listed));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let keys = self.settings.tag_keys(&names);
        let life = self.tag_life();
        let values = self.ask("read_tags", |store| tagged(store)?.read_tags(&keys, life))?;
        for (at, list, listed) in places {
            let of_entry = TagValues {
                clock: values.clock,
                tags: listed.into_iter().map(|place| values.tags[place]).collect(),
                has_floor: values.has_floor,
            };
            reads[at].1.listed = Some((list.to_vec(), of_entry.newest()));
        }
        Ok(())
    }

    /// Fails if the invalidation of a tag of this lookup is pending: the store does not know of it.
    pub(crate) fn refuse_pending_tags(
        &self,
        tags: &LookupTags,
        request: &'static str,
    ) -> Result<(), Error> {
        // Which tags the loader will name, or has named, is not known yet.
        let any = tags.has_loader_tags;
        match self.client.bypass_tags(&tags.keys, any) {
            None => Ok(()),
            Some(cause) => Err(Error::Store { request, cause }),
        }
    }

    /// What is cached of a record that was loaded or written under tags. `named`: the tags that its
    /// loader named.
    pub(crate) fn with_tag_fields(
        &self,
        entry: Option<(Duration, Fields)>,
        tags: Option<&LookupTags>,
        named: &[String],
    ) -> Result<Option<(Duration, Fields)>, Unstorable> {
        let Some((ttl, mut fields)) = entry else {
            return Ok(None);
        };
        if !named.is_empty() && !self.settings.loader_tags {
            return Err(Unstorable::without_loader_tags());
        }
        // If all lookups of the cache are under tags, some may have other tags than this one.
        let of_caller = tags.filter(|_| self.own_tags.is_some()).into_iter();
        let of_caller = of_caller.flat_map(LookupTags::of_caller);
        let listed: Vec<_> = of_caller.chain(named.iter().map(String::as_str)).collect();
        if !listed.is_empty() {
            fields.push(list_field(&listed)?);
        }
        if let Some(clock) = tags.and_then(LookupTags::clock) {
            fields.push((TAG_CLOCK_FIELD.into(), clock.to_string().into()));
        }
        Ok(Some((ttl, fields)))
    }

    /// The tags of a lookup, as its near cache needs them. `None`: the near cache cannot be used.
    pub(crate) fn near_tags(&self, tags: &LookupTags, began: Instant) -> Option<Box<NearTags<'_>>> {
        // Started by the first lookup under tags, so that other caches have no such stream.
        let stream = self.tag_stream.get_or_init(|| {
            let prefix = tags.keys.prefix();
            let changes = Arc::new(TagChanges::new(&prefix));
            let listener: Arc<dyn ChangeListener> = Arc::clone(&changes) as _;
            self.client.add_sibling(Arc::downgrade(&listener));
            let bound = self.settings.near_staleness;
            let subscription = self.client.track(&prefix, bound, listener)?;
            Some(TagStream::new(changes, subscription))
        });
        let changes = &stream.as_ref()?.changes;
        Some(Box::new(NearTags::new(
            changes,
            tags.keys.tags.iter(),
            began,
        )))
    }

    /// The keys of the tags that an entry lists.
    pub(crate) fn listed_keys(&self, tags: &LookupTags, entry: &Fields) -> Vec<String> {
        match &*tags.listed_in(entry) {
            [] => Vec::new(),
            names => self.settings.tag_keys(names).tags,
        }
    }

    /// Sees to it that the tags live as long as an entry that was filled under them, for
    /// `total_ttl`. If that fails, the entry may count as missing too early. Sends nothing if this
    /// process has done it a short time ago.
    pub(crate) fn keep_tags(&self, tags: &LookupTags, named: &[String], total_ttl: Duration) {
        let mut keys = TagKeys::clone(&tags.keys);
        let named: Vec<_> = named.iter().map(String::as_str).collect();
        keys.tags.extend(self.settings.tag_keys(&named).tags);
        let all = || keys.tags.iter().chain([&keys.clock]);
        if all().all(|key| self.tag_lives.lasts(key, total_ttl)) {
            return;
        }
        let life = self.tag_life();
        let kept = self.ask("read_tags", |store| tagged(store)?.keep_tags(&keys, life));
        if kept.is_ok() {
            all().for_each(|key| self.tag_lives.record(key, life));
        }
    }
}
