//! Updates of a cached record. Each is atomic, or else the record is invalidated.

use serde::{Serialize, de::DeserializeOwned};

use super::Wrote;
use crate::{
    engine::{Engine, Settings},
    error::Error,
    record::fields::{
        Fields, Undecodable, check_length, check_name, from_fields, names, to_fields,
    },
    store::{Diff, NewTtl, Update, keys::Keys},
    telemetry::event::{Event, Write},
};

/// How often an update tries. Each failure means that another client's change succeeded. Sixteen
/// failures in a row mean sixteen changes of one record within as many round trips.
const ATTEMPTS: u32 = 16;

/// See [`Cache::update_field`](crate::Cache::update_field).
pub(crate) fn update_field<R>(
    engine: &Engine<R>,
    id: &str,
    field: &str,
    value: &[u8],
) -> Result<bool, Error> {
    check_name(field.as_bytes())?;
    check_length(field.as_bytes(), value)?;
    let keys = engine.keys(id)?;
    let _wrote = Wrote::begin(engine, id, Write::UpdateField);
    let all = [&keys];
    let pending = engine
        .client
        .remember_on_drop(&engine.reporter, "update_field", &all);
    let updated = until_no_conflict(|| {
        engine.change(&keys, "update_field", |store| {
            store.update_field(&keys, field, value, new_ttl(engine))
        })
    });
    let updated = or_invalidated(engine, &keys, updated);
    pending.returned();
    match updated {
        // Nothing is cached now. This call has no closure, so its caller does not need the reason.
        Err(Error::Contended { .. }) => Ok(false),
        done => done,
    }
}

/// See [`Cache::update`](crate::Cache::update).
pub(crate) fn update<R, F>(engine: &Engine<R>, id: &str, mut change: F) -> Result<bool, Error>
where
    R: Serialize + DeserializeOwned,
    F: FnMut(&R) -> Option<R>,
{
    let keys = engine.keys(id)?;
    let _wrote = Wrote::begin(engine, id, Write::Update);
    let all = [&keys];
    let pending = engine
        .client
        .remember_on_drop(&engine.reporter, "update", &all);
    let (mut was_record, mut unmergeable) = (false, false);
    let (mut unreadable, mut unstorable) = (false, None);
    let mut diff = |fields: Fields| {
        (was_record, unmergeable, unstorable) = (false, false, None);
        let old = match from_fields(fields.clone()) {
            Ok(Some(old)) => old,
            // The primary may have a record by now, so a cached "no such record" is removed.
            Ok(None) => {
                let removed = fields.into_iter().map(|(name, _)| name).collect();
                let set = Fields::new();
                return Some(Diff { set, removed });
            }
            Err(Undecodable) => {
                unreadable = true;
                return None;
            }
        };
        was_record = true;
        let new = pending.suspended(|| change(&old))?;
        // Fields that the type does not know belong to another program and stay.
        let (known, new) = match (names(&old), to_fields(&new)) {
            (Ok(known), Ok(new)) => (known, new),
            (Err(why), _) | (_, Err(why)) => {
                unstorable = Some(why);
                return None;
            }
        };
        if !decodes_with_others::<R>(&fields, &known, &new) {
            unmergeable = true;
            return None;
        }
        let removed = known
            .into_iter()
            .filter(|name| new.iter().all(|(kept, _)| kept != name))
            .collect();
        let set = new.into_iter().filter(|field| !fields.contains(field));
        let set = set.collect();
        Some(Diff { set, removed })
    };
    let updated = until_no_conflict(|| {
        engine.change(&keys, "update", |store| {
            store.update(&keys, new_ttl(engine), &mut diff)
        })
    });
    if unreadable {
        // Reported here, where no connection is held.
        engine.reporter.report(&Event::Unreadable { id });
    }
    let updated = or_invalidated(engine, &keys, updated).and_then(|updated| {
        if unmergeable {
            engine.invalidate(&keys, "invalidate", |store| store.invalidate(&keys))?;
            return Ok(false);
        }
        unstorable.map_or(Ok(updated && was_record), |why| Err(Error::from(why)))
    });
    pending.returned();
    updated
}

/// Whether the new fields and the remaining ones still decode together. They do not if a remaining
/// field belongs to the type under another name (`alias`), because that field would exist twice.
fn decodes_with_others<R: DeserializeOwned>(
    fields: &Fields,
    known: &[Vec<u8>],
    new: &Fields,
) -> bool {
    let is_new = |name: &Vec<u8>| new.iter().any(|(new, _)| new == name);
    let stays = |(name, _): &&(Vec<u8>, Vec<u8>)| !known.contains(name) && !is_new(name);
    let mut rest = fields.iter().filter(stays).peekable();
    // The new fields alone have passed the round trip.
    rest.peek().is_none() || from_fields::<R>(new.iter().chain(rest).cloned().collect()).is_ok()
}

/// Retries, up to a limit, until no other client changes the record in between. True: a record was
/// changed.
fn until_no_conflict(mut attempt: impl FnMut() -> Result<Update, Error>) -> Result<bool, Error> {
    for _ in 0..ATTEMPTS {
        match attempt()? {
            Update::Changed => return Ok(true),
            Update::Unchanged => return Ok(false),
            Update::Conflict => {}
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// A failed update leaves an old record in the cache, which must not stay. So the record is
/// invalidated. If that works, nothing is cached, and the call does not fail.
fn or_invalidated<R>(
    engine: &Engine<R>,
    keys: &Keys,
    updated: Result<bool, Error>,
) -> Result<bool, Error> {
    let failure = match updated {
        Err(failure @ (Error::Store { .. } | Error::Contended { .. })) => failure,
        done => return done,
    };
    engine.invalidate(keys, "invalidate", |store| store.invalidate(keys))?;
    match failure {
        Error::Store { .. } => Ok(false),
        contended => Err(contended),
    }
}

/// The TTL of an updated record; `None` keeps the remaining TTL. A stale record stays stale,
/// because only one of its fields is new.
fn new_ttl<R>(engine: &Engine<R>) -> Option<NewTtl> {
    let Settings {
        ttl,
        keep_ttl_on_update,
        freshness,
        ..
    } = &engine.settings;
    (!keep_ttl_on_update).then(|| NewTtl {
        ttl: freshness.total_ttl(freshness.jittered(*ttl)),
        if_over: freshness.grace,
    })
}
