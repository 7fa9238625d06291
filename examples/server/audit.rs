//! The audit of the page: compares hits with the primary, and keeps what it has reported.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cache_aside::{Audit, Audited, Event, Observer};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    http::Answer,
    primary::MockPrimaryStore,
    routes::{Shop, stats},
};

/// Longer than a near record may be old. So a report takes a few seconds.
const DELAY: Duration = Duration::from_secs(2);

/// The records that differ from the primary, by id. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Reports(Arc<Mutex<BTreeMap<String, Value>>>);

impl Observer for Reports {
    fn notice(&self, _cache: &str, event: &Event<'_>) {
        match event {
            Event::Inconsistent { id, kind, fields } => {
                let report = json!({ "id": id, "kind": kind.name(), "fields": fields });
                self.0.lock().insert((*id).to_owned(), report);
            }
            // The record was mended.
            Event::Audited {
                id,
                outcome: Audited::Consistent,
            } => drop(self.0.lock().remove(*id)),
            _ => {}
        }
    }
}

impl Reports {
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }
}

/// Compares each hit, for a page with few of them. `ttl`: that of the cache.
pub(crate) fn of_all_hits(primary: &Arc<MockPrimaryStore>, ttl: Duration) -> Audit {
    let primary = Arc::clone(primary);
    let audit = Audit::new(move |id: &str| primary.read(id));
    audit.rate(1.0).delay(DELAY.min(ttl * 3 / 4))
}

/// What the audit has reported.
pub(crate) fn tell(shop: &Shop) -> Answer {
    let reports: Vec<_> = shop.in_use.reports.0.lock().values().cloned().collect();
    Answer::json(&json!({ "reports": reports, "stats": stats(shop) }))
}
