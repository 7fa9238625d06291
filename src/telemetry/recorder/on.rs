//! The recorder with the feature `event-log`: formats events as lines of JSON.
//!
//! The text of a line is made before the log's lock is taken. Fields without a value are left out.

use std::{fmt::Write, time::Instant};

use serde::Serialize;

use super::{Ended, LoadedRecord, RecordedCache};
pub(crate) use crate::telemetry::event_log::EventLog;
use crate::{
    error::{Error, cause::chain},
    outcome::Source,
    record::any::AnyRecord,
    store::token::Token,
    telemetry::event_log::fingerprint::fingerprint,
};

/// Writes to the log of one cache.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    log: Option<EventLog>,
    prefix: String,
    near_staleness: u128,
    client: usize,
}

/// When a load or an invalidation began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    at: Instant,
    /// What the invalidation leaves as the floor.
    version: Option<u64>,
}

impl Began {
    pub(crate) fn now() -> Began {
        Began {
            at: Instant::now(),
            version: None,
        }
    }

    pub(crate) fn of_version(self, version: Option<u64>) -> Began {
        Began { version, ..self }
    }
}

/// How the records of a cache are represented.
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint(fn(Option<&AnyRecord>) -> Option<u64>);

impl Fingerprint {
    pub(crate) fn of_type<R: Serialize + 'static>() -> Fingerprint {
        Fingerprint(|record| fingerprint(record.map(AnyRecord::get::<R>)))
    }

    pub(crate) fn of(self, record: Option<&AnyRecord>) -> Option<u64> {
        self.0(record)
    }
}

impl Recorder {
    pub(crate) fn new(of: RecordedCache) -> Recorder {
        Recorder {
            log: of.log,
            prefix: of.prefix,
            near_staleness: of.near_staleness.as_nanos(),
            client: of.client,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Call it before the lookup returns.
    #[inline]
    pub(crate) fn lookup(
        &self,
        id: &str,
        began: Instant,
        found: (Source, Option<&AnyRecord>),
        fingerprint: Fingerprint,
        tags: &[String],
    ) {
        if let Some(log) = &self.log {
            self.add_lookup(log, id, began, found, fingerprint, tags);
        }
    }

    /// Out of line, to keep a near hit small.
    #[inline(never)]
    fn add_lookup(
        &self,
        log: &EventLog,
        id: &str,
        began: Instant,
        (source, record): (Source, Option<&AnyRecord>),
        fingerprint: Fingerprint,
        tags: &[String],
    ) {
        let mut line = self.line("lookup", id);
        line.number("began", log.nanos(began));
        line.text("from", source.name());
        line.hash("hash", fingerprint.of(record));
        if source == Source::Near {
            line.number("near", self.near_staleness);
        }
        line.texts("tags", tags);
        self.add(log, line);
    }

    /// A lookup ends with an error. Its text is not written: it may be the loader's own.
    pub(crate) fn failed(&self, id: &str, began: Instant) {
        if let Some(log) = &self.log {
            let mut line = self.line("failed", id);
            line.number("began", log.nanos(began));
            self.add(log, line);
        }
    }

    /// A lookup goes on without the store.
    pub(crate) fn degraded(&self, id: &str, cause: &Error) {
        if let Some(log) = &self.log {
            let mut line = self.line("degraded", id);
            line.text("cause", &chain(cause).to_string());
            self.add(log, line);
        }
    }

    /// Call it before anybody gets the record.
    pub(crate) fn load<'a>(
        &self,
        record: Option<&AnyRecord>,
        fingerprint: Fingerprint,
        loaded: impl FnOnce() -> LoadedRecord<'a>,
    ) {
        let Some(log) = &self.log else {
            return;
        };
        let loaded = loaded();
        let mut line = self.line("load", loaded.id);
        line.number("began", log.nanos(loaded.began.at));
        line.hash("hash", fingerprint.of(record));
        line.hash("was", loaded.was);
        if let Some(token) = loaded.token {
            line.token(token);
        }
        if let Some(version) = loaded.version {
            line.number("version", version);
        }
        if let Some(lag) = loaded.lag {
            line.number("lag", lag.as_nanos());
        }
        if loaded.is_unchanged {
            line.flag("unchanged");
        }
        line.texts("tags", &loaded.tags);
        if let Some(clock) = &loaded.clock {
            line.text("clock", clock);
        }
        self.add(log, line);
    }

    /// The lease of a load has ended.
    pub(crate) fn fill(&self, id: &str, token: Token, outcome: &str) {
        if let Some(log) = &self.log {
            let mut line = self.line("fill", id);
            line.token(token);
            line.text("outcome", outcome);
            self.add(log, line);
        }
    }

    /// Call it before the invalidation of this data key, or of this key of a tag, returns.
    pub(crate) fn ended(&self, key: &str, began: Began, how: Ended) {
        if let Some(log) = &self.log {
            let mut line = Line::new("end");
            line.text("key", key);
            self.add_end(log, line, began, how);
        }
    }

    /// The same for all records with a prefix.
    pub(crate) fn cleared(&self, prefix: &str, began: Began, how: Ended) {
        if let Some(log) = &self.log {
            let mut line = Line::new("clear");
            line.text("prefix", prefix);
            self.add_end(log, line, began, how);
        }
    }

    fn add_end(&self, log: &EventLog, mut line: Line, began: Began, how: Ended) {
        line.number("began", log.nanos(began.at));
        let outcome = match how {
            Ended::Done => "done",
            Ended::Guarded => "guarded",
            Ended::Pending => "pending",
        };
        line.text("outcome", outcome);
        if let Some(version) = began.version {
            line.number("version", version);
        }
        self.add(log, line);
    }

    /// A line about the record with this id.
    fn line(&self, event: &str, id: &str) -> Line {
        let mut line = Line::new(event);
        line.text("key", &format!("{}{id}", self.prefix));
        line
    }

    fn add(&self, log: &EventLog, mut line: Line) {
        line.number("client", self.client);
        log.add(&line.0);
    }
}

/// The fields of a line.
struct Line(String);

impl Line {
    fn new(event: &str) -> Line {
        Line(format!("\"e\":\"{event}\""))
    }

    // Writing to a `String` cannot fail.

    fn number(&mut self, name: &str, number: impl std::fmt::Display) {
        let _ = write!(self.0, ",\"{name}\":{number}");
    }

    fn flag(&mut self, name: &str) {
        let _ = write!(self.0, ",\"{name}\":true");
    }

    fn text(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, ",\"{name}\":{}", quoted(text));
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        if !texts.is_empty() {
            let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
            let _ = write!(self.0, ",\"{name}\":[{}]", texts.join(","));
        }
    }

    fn hash(&mut self, name: &str, hash: Option<u64>) {
        if let Some(hash) = hash {
            let _ = write!(self.0, ",\"{name}\":\"{hash:016x}\"");
        }
    }

    fn token(&mut self, token: Token) {
        let token = std::str::from_utf8(token.as_bytes()).unwrap_or_default();
        let _ = write!(self.0, ",\"token\":\"{token}\"");
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
