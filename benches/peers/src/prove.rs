//! Checks before the measurements that each peer does the work that is measured.

use std::{sync::Arc, time::Duration};

use crate::{peer::Peer, record::Primary};

/// Panics if a peer does not do it.
pub(crate) fn prove(peer: &dyn Peer) {
    let ids = ["proof".to_owned()];
    let (name, [id]) = (peer.name(), &ids);
    let primary = Arc::new(Primary::new(Duration::ZERO));
    for loads in 1..=2 {
        peer.get(id, &primary);
        peer.get(id, &primary);
        assert_eq!(primary.loads(), loads, "{name} keeps what it has loaded");
        peer.forget(id);
    }
    peer.warm(&ids, &primary);
    // These calls panic if they find no record.
    if let Some(hit) = peer.hit() {
        hit(id);
    }
    if let Some(near) = peer.near() {
        near(id);
    }
    if let Some(batch) = peer.batch() {
        (batch.read)(&ids);
    }
}
