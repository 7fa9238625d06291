//! The engine of a child process.
//!
//! Called by the handle of a cache, at its first use after a `fork`.

use std::sync::Arc;

use super::{Engine, Settings, audit_queue::AuditQueue, record_type::RecordType};
use crate::{
    backend::client::StoreClient,
    error::cause::chain,
    telemetry::{event::Observer, trace},
};

impl Engine {
    /// The engine of a process that was forked from the one that built the cache. If the store does
    /// not push its changes there, the engine works without.
    pub(crate) fn in_child(
        settings: &Settings,
        client: &Arc<StoreClient>,
        observer: Option<&Arc<dyn Observer>>,
        parts: impl Fn() -> (Option<AuditQueue>, RecordType),
    ) -> Engine {
        let new = |settings| Engine::new(settings, Arc::clone(client), observer.cloned(), parts());
        new(settings.clone()).unwrap_or_else(|error| {
            trace::error!(
                "after a fork, the near cache and tracking are off: {}",
                chain(&error)
            );
            let settings = Settings {
                near_cache: None,
                tracking: false,
                ..settings.clone()
            };
            new(settings).expect("only a subscription can be refused")
        })
    }
}
