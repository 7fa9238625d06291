//! The write paths: what a program calls after it has changed the primary.

use std::time::Instant;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::Written,
    error::{Error, WriteError},
    event::{Event, Write},
    fields::{Fields, Undecodable, check_length, check_name, from_fields, names, to_fields},
    inner::{Inner, Settings},
    keeper::Keeping,
    key::Keys,
    store::{Diff, NewTtl, Store, Update},
    token::Token,
    trace,
};

/// How often an update tries. Each failure means that another client's change got through, so sixteen in a
/// row are sixteen changes of one record within as many round trips.
const ATTEMPTS: u32 = 16;

/// See [`Cache::invalidate`](crate::Cache::invalidate).
pub(crate) fn invalidate<R>(inner: &Inner<R>, id: &str) -> Result<bool, Error> {
    let keys = inner.keys(id)?;
    let _wrote = Wrote::begin(inner, id, Write::Invalidate);
    inner.invalidate(&keys, "invalidate", |store| store.invalidate(&keys))
}

/// See [`Cache::expire`](crate::Cache::expire).
pub(crate) fn expire<R>(inner: &Inner<R>, id: &str) -> Result<bool, Error> {
    let keys = inner.keys(id)?;
    let grace = inner.settings.freshness.grace;
    let _wrote = Wrote::begin(inner, id, Write::Expire);
    inner.invalidate(&keys, "expire", |store| {
        if grace.is_zero() {
            store.invalidate(&keys)
        } else {
            store.expire(&keys, grace)
        }
    })
}

/// How many records are invalidated in one request.
const SLICE: usize = 10_000;

/// See [`Cache::invalidate_many`](crate::Cache::invalidate_many).
pub(crate) fn invalidate_many<R>(
    inner: &Inner<R>,
    ids: impl IntoIterator<Item: AsRef<str>>,
) -> Result<u64, Error> {
    let ids: Vec<_> = ids.into_iter().collect();
    let keys = ids.iter().map(|id| inner.keys(id.as_ref()));
    // All of them before anything is sent.
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    let Some(first) = ids.first() else {
        return Ok(0);
    };
    let _wrote = Wrote::begin(inner, first.as_ref(), Write::InvalidateMany);
    let keys: Vec<_> = keys.iter().collect();
    let mut ended = Ok(0);
    // Also after one that failed: what fails is remembered, but some may work.
    for slice in keys.chunks(SLICE) {
        for answer in inner.link.invalidate_all(&inner.reporter, slice) {
            ended = ended.and_then(|ended| Ok(ended + u64::from(answer?)));
        }
    }
    ended
}

/// See [`Cache::write`](crate::Cache::write).
pub(crate) fn write<R, T, E>(
    inner: &Inner<R>,
    id: &str,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<Written<T>, WriteError<E>> {
    let keys = inner.keys(id).map_err(WriteError::Cache)?;
    let _wrote = Wrote::begin(inner, id, Write::Write);
    let (writing, unguarded_by) = Writing::begin(inner, keys);
    let changed = change();
    let deferred_by = writing.end().err();
    match changed {
        Ok(value) => Ok(Written::new(value, unguarded_by, deferred_by)),
        // Perhaps it was done all the same, a commit whose reply was lost: so it has been invalidated.
        Err(failure) => Err(WriteError::Primary(failure)),
    }
}

/// A call that writes, under way. Dropped, it has ended.
pub(crate) struct Wrote<'a, R> {
    inner: &'a Inner<R>,
    id: &'a str,
    call: Write,
    began: Instant,
    _span: trace::Entered,
}

impl<'a, R> Wrote<'a, R> {
    pub(crate) fn begin(inner: &'a Inner<R>, id: &'a str, call: Write) -> Wrote<'a, R> {
        Wrote {
            inner,
            id,
            call,
            began: Instant::now(),
            _span: trace::write(&inner.settings.prefix, id, call.name()),
        }
    }
}

impl<R> Drop for Wrote<'_, R> {
    fn drop(&mut self) {
        let (id, call, took) = (self.id, self.call, self.began.elapsed());
        let event = Event::Wrote { id, call, took };
        self.inner.reporter.report(&event);
    }
}

/// A write under way. Dropped by a panic, it ends as well.
struct Writing<'a, R> {
    inner: &'a Inner<R>,
    keys: Keys,
    writer: Token,
    /// `None` where there is no guard to be kept.
    keeping: Option<Keeping<'a>>,
    ended: bool,
}

impl<'a, R> Writing<'a, R> {
    /// Puts the guard there. If that fails, here is why, and the write goes on: it is then as safe as an
    /// `invalidate` after it.
    fn begin(inner: &'a Inner<R>, keys: Keys) -> (Writing<'a, R>, Option<Error>) {
        let writer = Token::random();
        let Settings {
            lease_ttl,
            max_load_time,
            ..
        } = inner.settings;
        let guarded = inner.ask("guard", |store| store.guard(&keys, writer, lease_ttl));
        // From here on who reads in this process loads, as everywhere.
        inner.link.evict(&keys.data);
        let keeping = guarded.is_ok().then(|| {
            let until = Instant::now() + max_load_time;
            inner.keeper.keep(&keys, writer, until)
        });
        let writing = Writing {
            inner,
            keys,
            writer,
            keeping,
            ended: false,
        };
        (writing, guarded.err())
    }

    fn end(mut self) -> Result<bool, Error> {
        self.ended = true;
        self.unguard()
    }

    fn unguard(&mut self) -> Result<bool, Error> {
        if let Some(keeping) = self.keeping.take() {
            keeping.end();
        }
        let (keys, writer) = (&self.keys, self.writer);
        let unguard = |store: &dyn Store| store.unguard(keys, writer);
        self.inner.invalidate(keys, "unguard", unguard)
    }
}

impl<R> Drop for Writing<'_, R> {
    fn drop(&mut self) {
        if !self.ended {
            // Where it fails, it is remembered.
            let _ = self.unguard();
        }
    }
}

/// See [`Cache::update_field`](crate::Cache::update_field).
pub(crate) fn update_field<R>(
    inner: &Inner<R>,
    id: &str,
    field: &str,
    value: &[u8],
) -> Result<bool, Error> {
    check_name(field.as_bytes())?;
    check_length(field.as_bytes(), value)?;
    let keys = inner.keys(id)?;
    let _wrote = Wrote::begin(inner, id, Write::UpdateField);
    let updated = until_not_overtaken(|| {
        inner.change(&keys, "update_field", |store| {
            store.update_field(&keys, field, value, new_ttl(inner))
        })
    });
    match or_invalidated(inner, &keys, updated) {
        // Nothing is cached, and there is no closure that would want to know why.
        Err(Error::Contended { .. }) => Ok(false),
        done => done,
    }
}

/// See [`Cache::update`](crate::Cache::update).
pub(crate) fn update<R, F>(inner: &Inner<R>, id: &str, mut change: F) -> Result<bool, Error>
where
    R: Serialize + DeserializeOwned,
    F: FnMut(&R) -> Option<R>,
{
    let keys = inner.keys(id)?;
    let _wrote = Wrote::begin(inner, id, Write::Update);
    let (mut was_record, mut unmergeable) = (false, false);
    let (mut unreadable, mut unstorable) = (false, None);
    let mut diff = |fields: Fields| {
        (was_record, unmergeable, unstorable) = (false, false, None);
        let old = match from_fields(fields.clone()) {
            Ok(Some(old)) => old,
            // The primary may have a record by now: what says that it has none goes.
            Ok(None) => {
                let gone = fields.into_iter().map(|(name, _)| name).collect();
                let set = Fields::new();
                return Some(Diff { set, gone });
            }
            Err(Undecodable) => {
                unreadable = true;
                return None;
            }
        };
        was_record = true;
        let new = change(&old)?;
        // Fields that the type doesn't know are another program's, and stay.
        let (known, new) = match (names(&old), to_fields(&new)) {
            (Ok(known), Ok(new)) => (known, new),
            (Err(why), _) | (_, Err(why)) => {
                unstorable = Some(why);
                return None;
            }
        };
        if !goes_with_others::<R>(&fields, &known, &new) {
            unmergeable = true;
            return None;
        }
        let gone = known
            .into_iter()
            .filter(|name| new.iter().all(|(kept, _)| kept != name))
            .collect();
        let set = new.into_iter().filter(|field| !fields.contains(field));
        let set = set.collect();
        Some(Diff { set, gone })
    };
    let updated = until_not_overtaken(|| {
        inner.change(&keys, "update", |store| {
            store.update(&keys, new_ttl(inner), &mut diff)
        })
    });
    if unreadable {
        // Here, where no connection is held.
        inner.reporter.report(&Event::Unreadable { id });
    }
    let updated = or_invalidated(inner, &keys, updated)?;
    if unmergeable {
        inner.invalidate(&keys, "invalidate", |store| store.invalidate(&keys))?;
        return Ok(false);
    }
    unstorable.map_or(Ok(updated && was_record), Err)
}

/// Whether the new fields are still a record beside those that stay. They aren't where one that stays is the type's own
/// by another name (`alias`): then it would be there twice.
fn goes_with_others<R: DeserializeOwned>(fields: &Fields, known: &[Vec<u8>], new: &Fields) -> bool {
    let is_new = |name: &Vec<u8>| new.iter().any(|(new, _)| new == name);
    let stays = |(name, _): &&(Vec<u8>, Vec<u8>)| !known.contains(name) && !is_new(name);
    let mut stay = fields.iter().filter(stays).peekable();
    // Alone, they have been proved.
    stay.peek().is_none() || from_fields::<R>(new.iter().chain(stay).cloned().collect()).is_ok()
}

/// Tries until nobody else's change comes in between, a number of times. True: a record was changed.
fn until_not_overtaken(mut attempt: impl FnMut() -> Result<Update, Error>) -> Result<bool, Error> {
    for _ in 0..ATTEMPTS {
        match attempt()? {
            Update::Changed => return Ok(true),
            Update::Unchanged => return Ok(false),
            Update::Overtaken => {}
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// An update that failed leaves a record in the cache that is older than the caller's. It must not stay. So
/// the record is invalidated, and where that works nothing is cached, which is no failure.
fn or_invalidated<R>(
    inner: &Inner<R>,
    keys: &Keys,
    updated: Result<bool, Error>,
) -> Result<bool, Error> {
    let failure = match updated {
        Err(failure @ (Error::Redis { .. } | Error::Contended { .. })) => failure,
        done => return done,
    };
    inner.invalidate(keys, "invalidate", |store| store.invalidate(keys))?;
    match failure {
        Error::Redis { .. } => Ok(false),
        contended => Err(contended),
    }
}

/// The TTL an updated record gets; `None` to keep what it has. One that is stale stays so: what is new is one field of
/// it.
fn new_ttl<R>(inner: &Inner<R>) -> Option<NewTtl> {
    let Settings {
        ttl,
        keep_ttl_on_update,
        freshness,
        ..
    } = &inner.settings;
    (!keep_ttl_on_update).then(|| NewTtl {
        ttl: freshness.stay(freshness.jittered(*ttl)),
        if_over: freshness.grace,
    })
}
