//! `quick_cache`: a map in the process and nothing else. Our near cache is built on it.

use std::{convert::Infallible, hint::black_box, sync::Arc};

use quick_cache::sync::Cache;

use super::{Maker, Peer, QUICK, Read, Setup};
use crate::record::{Primary, Product};

pub(super) const MAKER: Maker = Maker {
    name: QUICK,
    package: Some("quick_cache"),
    about: "in the process only, without a TTL, which it doesn't have: the limit for near hits",
    make: |setup| Box::new(Quick::new(setup)),
};

struct Quick(Cache<String, Arc<Product>>);

impl Quick {
    fn new(setup: &Setup<'_>) -> Quick {
        Quick(Cache::new(setup.near))
    }
}

impl Peer for Quick {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let load = || Ok::<_, Infallible>(Arc::new(primary.read()));
        let Ok(found) = self.0.get_or_insert_with(id, load);
        black_box(found);
    }

    fn forget(&self, id: &str) {
        self.0.remove(id);
    }

    fn near(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(self.0.get(id).expect("it is there"));
        }))
    }
}
