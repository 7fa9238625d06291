//! This crate. `near`: with a near cache, which may be late by `near_staleness`.

use cache_aside::Cache;
use serde::{Deserialize, Serialize};

use super::serve::{Primary, Setup, TTL, Worker, text};

#[derive(Serialize, Deserialize)]
struct Row {
    version: u64,
}

pub(super) struct Ours(Cache<Row>);

impl Ours {
    pub(super) fn new(setup: &Setup, near: bool) -> Result<Ours, String> {
        let builder = Cache::builder(&*setup.redis).prefix("league:").ttl(TTL);
        let builder = if near {
            builder.near_cache(1_000)
        } else {
            builder
        };
        builder.build().map(Ours).map_err(text)
    }
}

impl Worker for Ours {
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        let load = |id: &str| {
            let version = primary.read(id)?;
            Ok::<_, String>(Some(Row { version }))
        };
        let found = self.0.get(id, load).map_err(text)?;
        found
            .record()
            .map(|row| row.version)
            .ok_or_else(|| "no record".to_owned())
    }

    fn invalidate(&self, id: &str) -> Result<(), String> {
        self.0.invalidate(id).map_err(text)?;
        Ok(())
    }
}
