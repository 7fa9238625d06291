//! Scans the records, or the leases, of the embedded store.
//!
//! Called for `clear`.
//!
//! No user code runs under the lock of a stripe.

use super::{MemoryStore, STRIPES};
use crate::store::{Cursor, KeyKind, ScanPage, keys::Keys};

impl MemoryStore {
    /// Returns all records in one page, or the leases of one stripe in each page.
    pub(super) fn page(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> ScanPage {
        let mut scanned = ScanPage {
            keys: Vec::new(),
            epoch: 0,
            next: None,
            fraction: 1.0,
        };
        match kind {
            KeyKind::Records => {
                let data = self.records.keys();
                let ours = data.filter(|data| data.starts_with(prefix));
                scanned.keys.extend(ours.map(Keys::of));
            }
            KeyKind::Leases => {
                let stripe = usize::try_from(cursor.position).unwrap_or(STRIPES);
                if let Some(leases) = self.stripes.get(stripe) {
                    let leases = leases.lock();
                    let ours = leases
                        .keys()
                        .filter_map(|lease| Keys::of_lease(lease, prefix));
                    scanned.keys.extend(ours);
                }
                if stripe + 1 < STRIPES {
                    scanned.next = Some(Cursor {
                        position: cursor.position + 1,
                        ..cursor
                    });
                    scanned.fraction = fraction(stripe + 1, STRIPES);
                }
            }
        }
        scanned
    }
}

#[expect(clippy::cast_precision_loss, reason = "both are small")]
fn fraction(done: usize, all: usize) -> f64 {
    done as f64 / all as f64
}
