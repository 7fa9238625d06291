//! The write paths: what a program calls after it has changed the primary.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    fields::{Fields, check_name, to_fields},
    inner::Inner,
    key::Keys,
    store::{Diff, Update},
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
    let updated = inner
        .store
        .update_field(&keys, field, value, new_ttl(inner));
    or_invalidated(inner, &keys, inner.counted(updated))
}

/// See [`Cache::update`](crate::Cache::update).
pub(crate) fn update<R, F>(inner: &Inner<R>, id: &str, mut change: F) -> Result<bool, Error>
where
    R: Serialize + DeserializeOwned,
    F: FnMut(&R) -> Option<R>,
{
    let keys = inner.keys(id)?;
    let mut diff = |fields: Fields| {
        let Some(old) = inner.decode(fields.clone()) else {
            return Ok(None);
        };
        let Some(new) = change(&old) else {
            return Ok(None);
        };
        let new = to_fields(&new)?;
        // Fields that the type doesn't know are another program's, and stay.
        let known = to_fields(&old)?;
        let gone = known
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| new.iter().all(|(kept, _)| kept != name))
            .collect();
        let set = new.into_iter().filter(|field| !fields.contains(field));
        let set = set.collect();
        Ok(Some(Diff { set, gone }))
    };
    let updated = inner
        .store
        .update(&keys, new_ttl(inner), UPDATE_ATTEMPTS, &mut diff);
    let updated = inner.counted(updated).map(|done| done == Update::Changed);
    or_invalidated(inner, &keys, updated)
}

/// An update that failed leaves a record in the cache that is older than the caller's. It must not stay. So
/// the record is invalidated, and where that works nothing is cached, which is no failure.
fn or_invalidated<R>(
    inner: &Inner<R>,
    keys: &Keys,
    updated: Result<bool, Error>,
) -> Result<bool, Error> {
    match updated {
        Err(failure @ (Error::Redis { .. } | Error::Contended { .. })) => {
            match (inner.counted(inner.store.invalidate(keys)), failure) {
                (Ok(_), Error::Redis { .. }) => Ok(false),
                (Ok(_), contended) => Err(contended),
                (Err(failure), _) => Err(failure),
            }
        }
        done => done,
    }
}

/// The TTL an updated record gets; `None` to keep what it has.
fn new_ttl<R>(inner: &Inner<R>) -> Option<Duration> {
    (!inner.settings.keep_ttl_on_update).then_some(inner.settings.ttl)
}
