//! Messages and sources: a chain of errors says each thing once.

use std::sync::Arc;

use super::*;
use crate::store::{Failure, FailureKind};

#[test]
fn a_store_error_names_its_request_and_server_and_leaves_the_cause_to_the_chain() {
    let cut: Cause = Arc::new(std::io::Error::other("the wire was cut"));
    let at = |hint| Error::Store {
        request: "invalidate",
        cause: Arc::new(AtServer {
            address: "localhost:6379".into(),
            hint,
            cause: Arc::clone(&cut),
        }),
    };
    assert_eq!(
        at(None).to_string(),
        "request `invalidate` to localhost:6379 failed"
    );
    assert_eq!(
        format!("{:#}", at(Some("it speaks TLS"))),
        "request `invalidate` to localhost:6379 failed (it speaks TLS): the wire was cut"
    );
    let elsewhere = Error::Store {
        request: "invalidate",
        cause: cut,
    };
    assert_eq!(
        format!("{elsewhere:#}"),
        "request `invalidate` failed: the wire was cut"
    );
    assert_eq!(elsewhere.source().unwrap().to_string(), "the wire was cut");
}

/// The match has no wildcard: a new variant must come with its source and its message.
fn source_of(error: &Error) -> Option<&str> {
    match error {
        Error::Store { .. } => Some("the wire was cut"),
        Error::Loader(_) => Some("disk full"),
        Error::NoThread(_) => Some("no more threads"),
        Error::InvalidSetting { .. }
        | Error::Reentrant
        | Error::WaitTimeout { .. }
        | Error::InvalidId { .. }
        | Error::InvalidRecord { .. }
        | Error::StaleLoad { .. }
        | Error::Overloaded { .. }
        | Error::LoadTimeout { .. }
        | Error::Contended { .. } => None,
    }
}

#[test]
fn each_variant_has_a_message_of_its_own_and_returns_its_cause_as_the_source() {
    let (request, setting) = ("read", "ttl");
    let reason = || "it is too long".to_owned();
    let field = Some("name".to_owned());
    let waited = Duration::from_secs(2);
    let cause: Cause = Arc::new(std::io::Error::other("the wire was cut"));
    let row: Cause = Arc::new(std::io::Error::other("disk full"));
    let thread: Cause = Arc::new(std::io::Error::other("no more threads"));
    let record = |field| Error::InvalidRecord {
        field,
        reason: reason(),
    };
    for (error, message) in [
        (
            Error::InvalidSetting {
                setting,
                reason: reason(),
            },
            "setting `ttl`: it is too long",
        ),
        (Error::Store { request, cause }, "request `read` failed"),
        (Error::Loader(row), "the loader failed"),
        (
            Error::NoThread(thread),
            "no thread could be started to relay the outbox",
        ),
        (
            Error::Reentrant,
            "a loader asked for the record it is loading, on its own thread",
        ),
        (
            Error::WaitTimeout { waited },
            "waited 2s for another caller's load",
        ),
        (
            Error::Overloaded { waited },
            "waited 2s for a turn to load: too many loads are running",
        ),
        (
            Error::LoadTimeout { waited },
            "the load had not ended after 2s; it goes on",
        ),
        (
            Error::InvalidId {
                reason: "it is empty",
            },
            "the id is invalid: it is empty",
        ),
        (
            record(field),
            "the record's field `name` cannot be stored: it is too long",
        ),
        (record(None), "the record cannot be stored: it is too long"),
        (
            Error::StaleLoad {
                version: 6,
                min_version: 7,
            },
            "the loader returned version 6 of the record, which is older than 7",
        ),
        (
            Error::Contended { attempts: 16 },
            "other writers changed the record during each of 16 attempts to update it; it was invalidated",
        ),
    ] {
        assert_eq!(error.to_string(), message);
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), source_of(&error), "{message}");
        let whole = source.map_or(message.to_owned(), |source| format!("{message}: {source}"));
        assert_eq!(format!("{error:#}"), whole);
        // Around another error, as a program's own type or `write` has it.
        let outer = WriteError::<Error>::Cache(error.clone());
        assert_eq!(outer.to_string(), format!("nothing was written: {message}"));
        assert_eq!(
            outer.source().map(ToString::to_string).as_deref(),
            source_of(&error)
        );
        assert_eq!(
            format!("{outer:#}"),
            format!("nothing was written: {whole}")
        );
        let outer = WriteError::Primary(error);
        assert_eq!(
            outer.to_string(),
            format!("the change of the primary failed: {message}")
        );
        assert_eq!(
            format!("{outer:#}"),
            format!("the change of the primary failed: {whole}")
        );
        // See the comment at its `source`.
        assert!(outer.source().is_none());
    }
}

#[test]
fn a_failure_of_a_store_prints_its_cause_and_returns_the_source_of_that() {
    #[derive(Debug, thiserror::Error)]
    #[error("the row cannot be read")]
    struct Unreadable(#[source] std::io::Error);

    let cause = || Unreadable(std::io::Error::other("disk full"));
    let failure = Failure::new(FailureKind::Partial, cause());
    assert_eq!(failure.to_string(), "the row cannot be read");
    assert_eq!(failure.source().unwrap().to_string(), "disk full");
    let there = failure.at_server(|| "there:6379".to_owned());
    assert_eq!(there.to_string(), "there:6379: the row cannot be read");
    assert_eq!(there.source().unwrap().to_string(), "disk full");
    let error = there.at("read");
    let whole = "request `read` to there:6379 failed: the row cannot be read: disk full";
    assert_eq!(format!("{error:#}"), whole);
}
