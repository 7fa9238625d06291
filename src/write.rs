//! The write paths: what a program calls after it has changed the primary.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    fields::{check_name, to_fields},
    inner::Inner,
    store::Update,
};

/// How often `update` tries. Each failure means that another client's change got through, so sixteen in a
/// row are sixteen changes of one record within as many round trips.
const UPDATE_ATTEMPTS: u32 = 16;

/// See [`Cache::invalidate`](crate::Cache::invalidate).
pub(crate) fn invalidate<R>(inner: &Inner<R>, id: &str) -> Result<bool, Error> {
    let keys = inner.keys(id)?;
    inner.counted(inner.store.invalidate(&keys))
}

/// See [`Cache::update_field`](crate::Cache::update_field).
pub(crate) fn update_field<R>(
    inner: &Inner<R>,
    id: &str,
    field: &str,
    value: &[u8],
) -> Result<bool, Error> {
    check_name(field.as_bytes())?;
    let keys = inner.keys(id)?;
    inner.counted(
        inner
            .store
            .update_field(&keys, field, value, new_ttl(inner)),
    )
}

/// See [`Cache::update`](crate::Cache::update).
pub(crate) fn update<R, F>(inner: &Inner<R>, id: &str, mut change: F) -> Result<bool, Error>
where
    R: Serialize + DeserializeOwned,
    F: FnMut(&R) -> Option<R>,
{
    let keys = inner.keys(id)?;
    let updated = inner
        .store
        .update(&keys, new_ttl(inner), UPDATE_ATTEMPTS, &mut |fields| {
            let new = inner.decode(fields).and_then(|record| change(&record));
            new.as_ref().map(to_fields).transpose()
        });
    if let Err(Error::Contended { .. }) = updated {
        // The record in the cache is older than the caller's, and must not stay.
        inner.counted(inner.store.invalidate(&keys))?;
    }
    Ok(inner.counted(updated)? == Update::Changed)
}

/// The TTL an updated record gets; `None` to keep what it has.
fn new_ttl<R>(inner: &Inner<R>) -> Option<Duration> {
    (!inner.settings.keep_ttl_on_update).then_some(inner.settings.ttl)
}
