//! Updates of a cached record. Each is atomic, or else the record is invalidated.

use std::collections::HashSet;

use super::{Wrote, log, record_keys::RecordKeys};
use crate::{
    engine::{Engine, Settings},
    error::Error,
    record::{
        any::AnyRecord,
        fields::{EMPTY, FieldChange, Fields, check_length, check_name, tag_fields::TagFields},
    },
    store::{Change, Diff, NewTtl, Update, keys::Keys},
    telemetry::{
        event::Write,
        recorder::{Began, Ended},
    },
};

/// How often an update tries. Each failure means that another client's change succeeded. Sixteen
/// failures in a row mean sixteen changes of one record within as many round trips.
const ATTEMPTS: u32 = 16;

/// See [`Cache::update_field`](crate::Cache::update_field).
pub(crate) fn update_field(
    engine: &Engine,
    id: &str,
    field: &str,
    value: &[u8],
) -> Result<bool, Error> {
    let field = field.as_bytes();
    check_name(field)?;
    check_length(field, value)?;
    let keys = engine.keys(id)?;
    let others = RecordKeys::under_other_prefixes(engine, id);
    let _wrote = Wrote::begin(engine, id, Write::UpdateField);
    let updated = set_cached_field(engine, id, &keys, field, value);
    others.invalidate(engine).and(updated)
}

fn set_cached_field(
    engine: &Engine,
    id: &str,
    keys: &Keys,
    field: &[u8],
    value: &[u8],
) -> Result<bool, Error> {
    let all = [engine.ending(keys)];
    let pending = engine.client.remember_on_drop("update_field", &all);
    let (records, schema) = (&engine.record_type, &engine.settings.schema);
    let mut made = FieldChange::NotFound;
    let updated = change_entry(engine, keys, "update_field", &mut |entry| {
        let began = Began::now();
        // These fields stay as they are: the entry keeps its tags, and the clock of its load.
        let mut record = entry.clone();
        let kept = TagFields::take(&mut record);
        made = (records.set_field)(&record, field, value, schema);
        if matches!(made, FieldChange::Set) && engine.reporter.recorder.is_on() {
            let old = (records.from_fields)(record.clone(), schema).ok().flatten();
            let others = record.into_iter().filter(|(name, _)| name != field);
            let new = others.chain([(field.to_vec(), value.to_vec())]).collect();
            if let Ok(Some(new)) = (records.from_fields)(new, schema) {
                log::add_update(engine, id, began, (old.as_ref(), &new), &kept);
            }
        }
        Some(match made {
            FieldChange::Set => Diff {
                set: vec![(field.to_vec(), value.to_vec())],
                removed: marker(&entry),
            },
            // Nobody may read the entry with the old value of the field.
            _ => remove_all(entry),
        })
    });
    pending.returned();
    let updated = match updated {
        // Nothing is cached now. This call has no closure, so its caller does not need the reason.
        Err(Error::Contended { .. }) => Ok(false),
        done => done,
    };
    // Reported here, where no connection is held.
    match made {
        FieldChange::Set => return updated,
        FieldChange::NotFound => {}
        FieldChange::Undecodable(why) => engine.report_undecodable(id, why),
        FieldChange::Refused(why) => {
            engine.reporter.unstorable("cached", id, "is removed", &why);
            if engine.settings.fail_on_unstorable {
                return updated.and(Err(Error::from(why)));
            }
        }
    }
    updated.map(|_| false)
}

/// What the caller makes of a record. `None`: it stays.
pub(crate) type RecordChange<'a> = dyn FnMut(&AnyRecord) -> Option<AnyRecord> + 'a;

/// See [`Cache::update`](crate::Cache::update).
pub(crate) fn update(
    engine: &Engine,
    id: &str,
    change: &mut RecordChange<'_>,
) -> Result<bool, Error> {
    let keys = engine.keys(id)?;
    let others = RecordKeys::under_other_prefixes(engine, id);
    let _wrote = Wrote::begin(engine, id, Write::Update);
    let updated = change_cached(engine, id, &keys, change);
    others.invalidate(engine).and(updated)
}

fn change_cached(
    engine: &Engine,
    id: &str,
    keys: &Keys,
    change: &mut RecordChange<'_>,
) -> Result<bool, Error> {
    let all = [engine.ending(keys)];
    let pending = engine.client.remember_on_drop("update", &all);
    let (records, schema) = (&engine.record_type, &engine.settings.schema);
    let mut is_changed = false;
    let (mut undecodable, mut unstorable) = (None, None);
    let updated = change_entry(engine, keys, "update", &mut |entry| {
        let began = Began::now();
        (is_changed, undecodable, unstorable) = (false, None, None);
        // As in `set_cached_field`.
        let mut record = entry.clone();
        let kept = TagFields::take(&mut record);
        let old = match (records.from_fields)(record.clone(), schema) {
            Ok(Some(old)) => old,
            // The primary may have a record by now.
            Ok(None) => return Some(remove_all(entry)),
            // A program with another version of the type may still read the old record.
            Err(why) => {
                undecodable = Some(why);
                return Some(remove_all(entry));
            }
        };
        let new = pending.suspended(|| change(&old))?;
        log::add_update(engine, id, began, (Some(&old), &new), &kept);
        let merged = (records.names)(&old).and_then(|known| {
            let new = (records.to_fields)(&new, schema)?;
            Ok(merge(engine, &record, &known, &new))
        });
        match merged {
            Ok(Some(diff)) => {
                is_changed = true;
                Some(diff)
            }
            Ok(None) => Some(remove_all(entry)),
            Err(why) => {
                unstorable = Some(why);
                None
            }
        }
    });
    pending.returned();
    if let Some(why) = undecodable {
        // Reported here, where no connection is held.
        engine.report_undecodable(id, why);
    }
    match unstorable {
        None => updated.map(|updated| updated && is_changed),
        Some(why) => updated.and(Err(Error::from(why))),
    }
}

/// Changes an entry, or else invalidates it. True: an entry was changed.
fn change_entry(
    engine: &Engine,
    keys: &Keys,
    request: &'static str,
    change: Change<'_>,
) -> Result<bool, Error> {
    let mut began = Began::now();
    let mut is_kept = false;
    let updated = until_no_conflict(|| {
        (began, is_kept) = (Began::now(), false);
        engine.change(keys, request, |store| {
            store.update(keys, new_ttl(engine), &mut |entry| {
                // The lease ends later than this, and a change of the entry since is a conflict.
                began = Began::now();
                let diff = change(entry);
                is_kept = diff.is_none();
                diff
            })
        })
    });
    // An entry that was kept is as old as before.
    if updated.is_ok() && !is_kept {
        let recorder = &engine.reporter.recorder;
        recorder.ended(&keys.data, began, Ended::Done);
    }
    or_invalidated(engine, keys, updated)
}

/// The change that removes the whole entry.
fn remove_all(entry: Fields) -> Diff {
    let removed = entry.into_iter().map(|(name, _)| name).collect();
    let set = Fields::new();
    Diff { set, removed }
}

/// The marker of a record without fields, if the entry has it.
fn marker(entry: &Fields) -> Vec<Vec<u8>> {
    let names = entry.iter().map(|(name, _)| name);
    names.filter(|name| *name == EMPTY).cloned().collect()
}

/// The change from an entry to a new record. `known`: the names of the fields that the old record
/// had. Other fields do not belong to the type, and stay. `new` has the field of the schema.
///
/// `None`: the new fields and the remaining ones do not decode together. So it is if a remaining
/// field belongs to the type under another name (`alias`), because that field would exist twice.
fn merge(engine: &Engine, entry: &Fields, known: &[Vec<u8>], new: &Fields) -> Option<Diff> {
    // Sets, because a record may have tens of thousands of fields.
    let (known, new_names): (HashSet<_>, HashSet<_>) = (
        known.iter().collect(),
        new.iter().map(|(name, _)| name).collect(),
    );
    let is_new = |name: &Vec<u8>| new_names.contains(name);
    let is_known = |name: &Vec<u8>| known.contains(name) || name == EMPTY;
    let stays = |(name, _): &&(Vec<u8>, Vec<u8>)| !is_known(name) && !is_new(name);
    let mut rest = entry.iter().filter(stays).peekable();
    // The new fields alone have passed the round trip.
    if rest.peek().is_some() {
        let fields = new.iter().chain(rest).cloned().collect();
        (engine.record_type.from_fields)(fields, &engine.settings.schema).ok()?;
    }
    let names = entry.iter().map(|(name, _)| name);
    let removed = names.filter(|name| is_known(name) && !is_new(name));
    let removed = removed.cloned().collect();
    let old: HashSet<_> = entry.iter().collect();
    let set = new.iter().filter(|field| !old.contains(field));
    let set = set.cloned().collect();
    Some(Diff { set, removed })
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
fn or_invalidated(
    engine: &Engine,
    keys: &Keys,
    updated: Result<bool, Error>,
) -> Result<bool, Error> {
    let failure = match updated {
        Err(failure @ (Error::Store { .. } | Error::Contended { .. })) => failure,
        done => return done,
    };
    let request = ("invalidate", Began::now());
    engine.invalidate(keys, request, |store| store.invalidate(keys))?;
    match failure {
        Error::Store { .. } => Ok(false),
        contended => Err(contended),
    }
}

/// The TTL of an updated record; `None` keeps the remaining TTL. A stale record stays stale,
/// because only one of its fields is new.
fn new_ttl(engine: &Engine) -> Option<NewTtl> {
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
