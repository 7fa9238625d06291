//! The keys of a cache's records.
//!
//! Called by the read path and the write path.

use super::Engine;
use crate::{
    error::Error,
    store::keys::{Keys, has_one_slot},
};

impl Engine {
    /// The key of the record with this id. `util/id.rs` has checked the id. This only checks
    /// whether a cluster can have both keys of the record in one slot.
    pub(crate) fn data_key(&self, id: &str) -> Result<String, Error> {
        self.data_key_with(&self.settings.prefix, id)
    }

    fn data_key_with(&self, prefix: &str, id: &str) -> Result<String, Error> {
        let mut key = String::with_capacity(prefix.len() + id.len());
        key.push_str(prefix);
        key.push_str(id);
        if self.is_cluster && !has_one_slot(&key) {
            return Err(Error::InvalidId {
                reason: "in a cluster it must not have a `}` before the first `{…}`: its lease would have another slot",
            });
        }
        Ok(key)
    }

    /// The keys of the record with this id.
    pub(crate) fn keys(&self, id: &str) -> Result<Keys, Error> {
        self.data_key(id).map(|data| self.keys_of(data))
    }

    /// The keys of the record at this data key.
    pub(crate) fn keys_of(&self, data: String) -> Keys {
        let keys = Keys::of(data);
        match self.settings.versions {
            Some(lag) => keys.with_floor(lag),
            None => keys,
        }
    }

    /// The prefixes under which a write ends the record.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.settings.prefixes()
    }

    /// The keys of the record with this id under another prefix.
    pub(crate) fn keys_with(&self, prefix: &str, id: &str) -> Result<Keys, Error> {
        let data = self.data_key_with(prefix, id)?;
        Ok(self.keys_of(data))
    }
}
