//! What a record in the process costs, its share of the map and of everything around it included.

use std::{sync::Arc, time::Duration};

use crate::{
    allocated,
    peer::{Maker, Setup},
    record::Primary,
};

/// Bytes for each of so many records, if it keeps any.
#[allow(clippy::cast_precision_loss, reason = "some millions")]
pub(crate) fn measure(maker: &Maker, setup: &Setup<'_>, ids: &[String]) -> Option<f64> {
    let setup = Setup {
        near: 2 * ids.len(),
        ..*setup
    };
    let primary = Arc::new(Primary::new(Duration::ZERO));
    let (peer, kept) = allocated::kept_by(|| {
        let peer = (maker.make)(&setup);
        if peer.near().is_some() {
            peer.warm(ids, &primary);
        }
        peer
    });
    let near = peer.near()?;
    // All of them are there: it panics else.
    for id in ids {
        near(id);
    }
    Some(kept as f64 / ids.len() as f64)
}
