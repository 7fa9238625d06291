//! `moka`: a map in the process with a TTL.

use std::{hint::black_box, sync::Arc};

use moka::sync::Cache;

use super::{MOKA, Maker, Peer, Read, Setup};
use crate::record::{Primary, Product, TTL};

pub(super) const MAKER: Maker = Maker {
    name: MOKA,
    package: Some("moka"),
    about: "in the process only, with a TTL",
    make: |setup| Box::new(Moka::new(setup)),
};

struct Moka(Cache<String, Arc<Product>>);

impl Moka {
    fn new(setup: &Setup<'_>) -> Moka {
        let builder = Cache::builder().max_capacity(setup.near as u64);
        Moka(builder.time_to_live(TTL).build())
    }
}

impl Peer for Moka {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let load = || Arc::new(primary.read());
        black_box(self.0.get_with_by_ref(id, load));
    }

    fn forget(&self, id: &str) {
        self.0.invalidate(id);
    }

    fn warm(&self, ids: &[String], primary: &Arc<Primary>) {
        for id in ids {
            self.get(id, primary);
        }
        // Runs the work that it has postponed.
        self.0.run_pending_tasks();
    }

    fn near(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(self.0.get(id).expect("it is there"));
        }))
    }
}
