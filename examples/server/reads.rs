//! Reads of one product and of many at once, and their cost.

use std::{slice, time::Instant};

use cache_aside::{Lookup, Record, Source, TtlRemaining};
use serde_json::{Value, json};

use crate::{
    http::{Answer, Form},
    millis,
    routes::{Shop, failed, no_product, stats},
};

/// More products than exist. This many ids still fit into the line of a request.
const MOST: usize = 100;

/// One product. Where there is none, the 404 also says what the read cost.
pub(crate) fn read(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let cache = shop.in_use.cache();
    let began = Instant::now();
    let found = shop.in_use.get(id).map_err(|error| failed(&error))?;
    let total = began.elapsed();
    let ttl = match found.source() {
        // A Redis that has just failed is not asked: that would cost another timeout. A near hit
        // asks nothing of Redis.
        Source::Degraded | Source::Near => None,
        _ => found.record().and_then(|_| cache.ttl_remaining(id).ok()),
    };
    // None where nothing is cached, or where another program wrote the record without a TTL.
    let ttl = ttl
        .and_then(TtlRemaining::left)
        .map(|left| millis(left) / 1000.0);
    let mut answer = json!({
        "id": id,
        "record": found.record().map(|record| &**record),
        "hit": found.is_hit(),
        "source": found.source().to_string(),
        "why": why(&found),
        "redis_latency_ms": millis(found.redis_latency()),
        "total_latency_ms": millis(total),
        "ttl_remaining": ttl,
        "stats": stats(shop),
    });
    if found.record().is_some() {
        return Ok(Answer::json(&answer));
    }
    answer["error"] = no_product(id).into();
    Ok(Answer::json(&answer).with_status(404))
}

/// Why the lookup was answered without Redis, or with a record that should have been reloaded.
fn why(found: &Lookup<Record>) -> Option<String> {
    let cause = found.degraded_cause().or(found.refresh_error());
    cause.map(|cause| format!("{cause:#}"))
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

/// The round trips to Redis of a batch, counted from the steps that each lookup took. `None` where
/// a lookup waited for another one, or did without Redis: their number is unknown then.
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
    // A load ends with a fill. After a failed load the lease stays, so that others do not retry.
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
