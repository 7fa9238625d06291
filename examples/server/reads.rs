//! Reads, of one product and of many at once, and what they cost.

use std::{slice, time::Instant};

use cache_aside::{Lookup, Record, Source, TtlRemaining};
use serde_json::{Value, json};

use crate::chain::chain;
use crate::{
    http::{Answer, Form},
    millis,
    routes::{Shop, failed, stats, unknown_product},
};

/// More products than there are. As many ids fit into the line of a request.
const MOST: usize = 100;

/// One product.
pub(crate) fn read(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let cache = shop.in_use.cache();
    let began = Instant::now();
    let found = cache
        .get(id, |id| shop.primary.read(id))
        .map_err(|error| failed(&error))?;
    let total = began.elapsed();
    let Some(record) = found.record() else {
        return Err(unknown_product(id));
    };
    let ttl = match found.source() {
        // Not asked of a Redis that has just failed: it would cost another time-out. Nor where
        // Redis is not needed.
        Source::Degraded | Source::Near => None,
        _ => cache.ttl_remaining(id).ok(),
    };
    // None for a record that has expired, or that another program wrote without a TTL.
    let ttl = ttl
        .and_then(TtlRemaining::left)
        .map(|left| millis(left) / 1000.0);
    Ok(Answer::json(&json!({
        "id": id,
        "record": &**record,
        "hit": found.is_hit(),
        "source": found.source().to_string(),
        "why": why(&found),
        "redis_latency_ms": millis(found.redis_latency()),
        "total_latency_ms": millis(total),
        "ttl_remaining": ttl,
        "stats": stats(shop),
    })))
}

/// Why it was answered without Redis, or with a record that should have been reloaded.
fn why(found: &Lookup<Record>) -> Option<String> {
    let cause = found.degraded_cause().or(found.refresh_error());
    cause.map(|cause| chain(cause))
}

/// Many products at once, or `all` of them.
pub(crate) fn read_many(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let ids = match form.require_text("ids")? {
        "all" => shop.primary.ids(),
        some => some.split(',').collect(),
    };
    if ids.len() > MOST {
        return Err(Answer::error(
            400,
            format!("`ids` are more than {MOST}, which is too many"),
        ));
    }
    let mut primary_reads = 0_u64;
    let began = Instant::now();
    let found = shop.in_use.cache().get_many(&ids, |missing| {
        primary_reads += 1;
        shop.primary.read_many(missing)
    });
    let total = began.elapsed();
    let found = found.map_err(|error| failed(&error))?;
    let results = ids.iter().zip(&found).map(|(id, found)| {
        json!({
            "id": id,
            "record": found.record().map(|record| &**record),
            "hit": found.is_hit(),
            "source": found.source().to_string(),
            "why": why(found),
        })
    });
    let results: Vec<Value> = results.collect();
    let each = found.iter().map(|found| cost(slice::from_ref(found)));
    let one_by_one: Option<u64> = each.sum();
    let loads = found.iter().filter(|found| asks_primary(found)).count();
    Ok(Answer::json(&json!({
        "results": results,
        "total_latency_ms": millis(total),
        "round_trips": cost(&found),
        "primary_reads": primary_reads,
        "one_by_one": { "round_trips": one_by_one, "primary_reads": loads },
        "stats": stats(shop),
    })))
}

/// The round trips to Redis of lookups at once, by the steps that each had to take. `None` where
/// some waited for others, or went without Redis: then it may be any number.
fn cost(found: &[Lookup<Record>]) -> Option<u64> {
    let any = |is: fn(&Lookup<Record>) -> bool| u64::from(found.iter().any(is));
    if found
        .iter()
        .any(|found| matches!(found.source(), Source::Waited | Source::Degraded))
    {
        return None;
    }
    let look = any(|found| found.source() != Source::Near);
    let lease = any(|found| found.source() == Source::Loaded);
    let refresh = any(|found| matches!(found.source(), Source::Stale | Source::Refreshed));
    // A loaded record is filled. If the load failed, its lease is left, so that others do not
    // retry.
    Some(look + lease + refresh + any(asks_primary))
}

/// Whether this lookup, alone, would have read the primary.
fn asks_primary(found: &Lookup<Record>) -> bool {
    let loads = matches!(
        found.source(),
        Source::Loaded | Source::Refreshed | Source::Degraded
    );
    loads || found.refresh_error().is_some()
}
