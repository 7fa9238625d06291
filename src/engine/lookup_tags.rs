//! What a lookup knows of its tags, and the rules by which an entry is good for it.
//!
//! `lua/README.md` has the reasons for the rules. Sends nothing.

use std::{collections::HashSet, sync::Arc};

use crate::{
    record::fields::{
        Fields, Undecodable,
        tag_fields::{TAG_CLOCK_FIELD, TagFields, tags_in, value_of},
    },
    store::{Entry, TAG_LIST_FIELD, TagBounds, TagClock, TagKeys, TagValues},
};

/// The tags of one lookup, and what it has read of them.
#[derive(Debug, Clone)]
pub(crate) struct LookupTags {
    /// Those that are known before the lookup: the caller's, and that of the cache itself.
    pub(crate) keys: Arc<TagKeys>,
    /// How many of them are the caller's: the first ones.
    of_caller: usize,
    /// Whether the loader may name further tags.
    pub(super) has_loader_tags: bool,
    /// Whether the entry that is read may enter a near cache.
    enters_near: bool,
    view: Option<TagView>,
    /// The list of tags of the entry that was read, as it is stored, and the newest of these tags.
    pub(super) listed: Option<(Vec<u8>, TagClock)>,
}

/// What the lookup has read of its tags before it may load.
#[derive(Debug, Clone, Copy)]
struct TagView {
    clock: TagClock,
    newest: TagClock,
    has_floor: bool,
}

impl LookupTags {
    pub(super) fn new(keys: Arc<TagKeys>, of_caller: usize, has_loader_tags: bool) -> LookupTags {
        LookupTags {
            keys,
            of_caller,
            has_loader_tags,
            enters_near: false,
            view: None,
            listed: None,
        }
    }

    /// The same tags, of which nothing was read yet.
    pub(crate) fn unread(&self) -> LookupTags {
        LookupTags::new(Arc::clone(&self.keys), self.of_caller, self.has_loader_tags)
    }

    pub(super) fn set_view(&mut self, values: &TagValues) {
        self.view = Some(TagView {
            clock: values.clock,
            newest: values.newest(),
            has_floor: values.has_floor,
        });
    }

    /// The entry that is read may enter a near cache, so all tags that it lists are read. A tag
    /// that is missing gets a value by that: without one, its deletion would push no change.
    pub(crate) fn read_for_near(&mut self) {
        self.enters_near = true;
    }

    /// What the lookup tells with its request for a lease.
    pub(crate) fn bounds(&self) -> Option<TagBounds> {
        let TagView { clock, newest, .. } = self.view?;
        // Of the tags that its loader will name, it knows only the clock.
        let oldest = if self.has_loader_tags { clock } else { newest };
        Some(TagBounds {
            clock,
            oldest,
            known: newest,
        })
    }

    /// The tags of the caller.
    pub(super) fn of_caller(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.tags.iter().take(self.of_caller);
        keys.map(|key| TagKeys::tag_of(key))
    }

    /// The clock from before a load of the lookup.
    pub(super) fn clock(&self) -> Option<TagClock> {
        self.view.map(|view| view.clock)
    }

    /// Whether a replica of the primary may lack what a tag has ended.
    pub(crate) fn has_floor(&self) -> bool {
        self.view.is_some_and(|view| view.has_floor)
    }

    /// Whether an entry with these fields is good for the lookup.
    fn admits(&self, fields: &TagFields) -> bool {
        let clock = fields.clock.as_deref().and_then(TagClock::parse);
        let (Some(view), Some(clock)) = (self.view, clock) else {
            return false;
        };
        let list = fields.list.as_deref();
        if !self.has_loader_tags && !list.is_none_or(|list| self.knows(list)) {
            // These tags are not read here: they are those of another caller, or of a loader on a
            // cache with another setting.
            return false;
        }
        if clock.covers(view.clock) {
            // Its load saw all that was invalidated before this lookup, under whatever tag.
            return true;
        }
        let listed = match (list, &self.listed) {
            (None, _) => true,
            (Some(list), Some((read, newest))) if list == read => clock.covers(*newest),
            (Some(list), _) => self.knows(list),
        };
        listed && clock.covers(view.newest)
    }

    /// Whether the lookup has read all tags in this list as its own.
    fn knows(&self, list: &[u8]) -> bool {
        let own: HashSet<_> = self
            .keys
            .tags
            .iter()
            .map(|it| TagKeys::tag_of(it))
            .collect();
        tags_in(list).is_some_and(|listed| listed.iter().all(|tag| own.contains(tag)))
    }

    /// The list of tags in an entry that cannot be judged without their values, or that may enter a
    /// near cache.
    pub(super) fn list_to_read<'a>(&self, entry: &'a Entry) -> Option<&'a [u8]> {
        let Entry::Record(fields) = entry else {
            return None;
        };
        let (view, true) = (self.view?, self.has_loader_tags) else {
            return None;
        };
        let list = value_of(fields, TAG_LIST_FIELD)?;
        let clock = TagClock::parse(value_of(fields, TAG_CLOCK_FIELD)?)?;
        let is_read = self.enters_near || !clock.covers(view.clock);
        (clock.covers(view.newest) && is_read && !self.knows(list)).then_some(list)
    }
}

impl LookupTags {
    /// Takes the fields of tags out of an entry, if the entry is good for the lookup.
    pub(crate) fn take_fields(&self, fields: &mut Fields) -> Result<(), Undecodable> {
        let taken = TagFields::take(fields);
        if self.admits(&taken) {
            Ok(())
        } else {
            Err(Undecodable::OlderThanTag)
        }
    }

    /// The names of the tags that an entry lists.
    pub(crate) fn listed_in<'a>(&self, entry: &'a Fields) -> Vec<&'a str> {
        let list = value_of(entry, TAG_LIST_FIELD).filter(|_| self.has_loader_tags);
        list.and_then(tags_in).unwrap_or_default()
    }
}
