//! The memory of a record in the process, including its share of the map and everything around it.

use std::{sync::Arc, time::Duration};

use crate::{
    allocated,
    peer::{Maker, Setup},
    record::Primary,
};

/// The bytes of each record, if the peer keeps any in the process.
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
    // All records exist; otherwise this panics.
    for id in ids {
        near(id);
    }
    Some(kept as f64 / ids.len() as f64)
}
