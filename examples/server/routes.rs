//! Every request of the demo and its answer.

use std::{convert::Infallible, time::Instant};

use cache_aside::{Cache, Error, Source, TtlRemaining};
use serde_json::{Value, json};
use tiny_http::{Method, Request};

use crate::{
    http::{Answer, Form},
    metrics::Metrics,
    millis, page,
    primary::{MockPrimaryStore, Refusal},
    stampede,
    store::Kind,
};

/// What the routes work on.
pub(crate) struct Shop {
    pub(crate) cache: Cache,
    pub(crate) primary: MockPrimaryStore,
    pub(crate) metrics: Metrics,
    pub(crate) about: About,
}

/// Where the records are, in words, and how to have them elsewhere.
pub(crate) struct About {
    pub(crate) kind: Kind,
    pub(crate) place: String,
    pub(crate) other: String,
}

type Route = fn(&Shop, &Form) -> Result<Answer, Answer>;

enum Verb {
    Get,
    Post,
}

/// The whole table.
fn route(path: &str) -> Option<(Verb, Route)> {
    Some(match path {
        "/" => (Verb::Get, |_, _| Ok(page::answer())),
        "/products" => (Verb::Get, |shop, _| Ok(products(shop))),
        "/read" => (Verb::Get, read),
        "/about" => (Verb::Get, |shop, _| Ok(about(shop))),
        "/metrics" => (Verb::Get, |shop, _| Ok(shop.metrics.answer())),
        "/stats" => (Verb::Get, |shop, _| Ok(Answer::json(&stats(shop)))),
        "/invalidate" => (Verb::Post, invalidate),
        "/update" => (Verb::Post, update),
        "/update_field" => (Verb::Post, update_field),
        "/stampede" => (Verb::Post, stampede),
        "/reset" => (Verb::Post, |shop, _| Ok(reset(shop))),
        _ => return None,
    })
}

pub(crate) fn answer(shop: &Shop, request: &mut Request) -> Answer {
    let path = request.url().split('?').next().unwrap_or_default();
    let Some((verb, route)) = route(path) else {
        return Answer::error(404, "there is nothing here");
    };
    let form = match (verb, request.method()) {
        (Verb::Get, Method::Get | Method::Head) => Form::of_query(request),
        (Verb::Post, Method::Post) => Form::of_body(request),
        (Verb::Get, _) => return wrong_method("GET, HEAD"),
        (Verb::Post, _) => return wrong_method("POST"),
    };
    form.and_then(|form| route(shop, &form))
        .unwrap_or_else(|refusal| refusal)
}

fn wrong_method(allowed: &'static str) -> Answer {
    Answer::error(405, format!("the method must be one of: {allowed}"))
        .with_header("Allow", allowed)
}

fn products(shop: &Shop) -> Answer {
    Answer::json(&json!({ "products": shop.primary.ids() }))
}

fn about(shop: &Shop) -> Answer {
    let About { kind, place, other } = &shop.about;
    Answer::json(&json!({ "store": kind.name(), "place": place, "other": other }))
}

fn read(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let began = Instant::now();
    let found = shop
        .cache
        .get(id, |id| Ok::<_, Infallible>(shop.primary.read(id)))
        .map_err(|error| failed(&error))?;
    let total = began.elapsed();
    let Some(record) = found.record() else {
        return Err(unknown_product(id));
    };
    // Not asked of a Redis that has just failed: it would cost another time-out.
    let ttl = match found.source() {
        Source::Degraded => None,
        _ => shop.cache.ttl_remaining(id).ok(),
    };
    // None of a record that is gone already, or that another program wrote for ever.
    let ttl = ttl
        .and_then(TtlRemaining::left)
        .map(|left| millis(left) / 1000.0);
    Ok(Answer::json(&json!({
        "id": id,
        "record": &**record,
        "hit": found.is_hit(),
        "source": found.source().to_string(),
        "redis_latency_ms": millis(found.redis_latency()),
        "total_latency_ms": millis(total),
        "ttl_remaining": ttl,
        "stats": stats(shop),
    })))
}

fn invalidate(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let deleted = shop.cache.invalidate(id).map_err(|error| failed(&error))?;
    Ok(Answer::json(&json!({
        "id": id,
        "deleted": deleted,
        "stats": stats(shop),
    })))
}

/// The primary first, then the cache forgets the record.
fn update(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let (id, field, value) = change_primary(shop, form)?;
    shop.cache
        .invalidate(id)
        .map_err(|error| half_done(shop, &error))?;
    Ok(Answer::json(&json!({
        "id": id,
        "field": field,
        "value": value,
        "stats": stats(shop),
    })))
}

/// The primary first, then the cached record, if there is one, gets the new value.
fn update_field(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let (id, field, value) = change_primary(shop, form)?;
    let updated = shop
        .cache
        .update_field(id, field, value)
        .map_err(|error| half_done(shop, &error))?;
    Ok(Answer::json(&json!({
        "id": id,
        "field": field,
        "value": value,
        "updated": updated,
        "stats": stats(shop),
    })))
}

fn change_primary<'a>(shop: &Shop, form: &'a Form) -> Result<(&'a str, &'a str, &'a str), Answer> {
    let id = form.require_text("id")?;
    let field = form.require_text("field")?;
    let value = form.require("value")?;
    match shop.primary.update_field(id, field, value) {
        Ok(()) => Ok((id, field, value)),
        Err(Refusal::UnknownProduct) => Err(unknown_product(id)),
        Err(Refusal::UnknownField) => Err(Answer::error(
            400,
            format!("a product has no field `{field}` to change"),
        )),
    }
}

fn stampede(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let readers = form.get("concurrency")?.unwrap_or("20");
    let readers = readers
        .parse()
        .ok()
        .filter(|readers| (2..=200).contains(readers))
        .ok_or_else(|| Answer::error(400, "`concurrency` must be a number from 2 to 200"))?;
    let ran = stampede::run(shop, id, readers).map_err(|error| failed(&error))?;
    let results: Vec<_> = ran
        .readers
        .iter()
        .map(|reader| {
            json!({
                "hit": reader.source == Source::Hit,
                "source": reader.source.to_string(),
                "started_ms": millis(reader.started),
                "finished_ms": millis(reader.finished),
                "redis_latency_ms": millis(reader.redis_latency),
                "found": reader.found,
            })
        })
        .collect();
    Ok(Answer::json(&json!({
        "id": id,
        "concurrency": readers,
        "primary_reads": ran.primary_reads,
        "elapsed_ms": millis(ran.elapsed),
        "results": results,
        "stats": stats(shop),
    })))
}

fn reset(shop: &Shop) -> Answer {
    shop.cache.reset_stats();
    shop.primary.reset_reads();
    Answer::json(&stats(shop))
}

fn stats(shop: &Shop) -> Value {
    let stats = shop.cache.stats();
    let mut all = json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "stampedes_suppressed": stats.stampedes_suppressed,
        // A tenth is as much as a person reads.
        "hit_rate_pct": (stats.hit_rate_pct() * 10.0).round() / 10.0,
        "primary_reads_total": shop.primary.reads(),
        "primary_read_latency_ms": millis(shop.primary.latency()),
        "cache_ttl_s": shop.cache.ttl().as_secs(),
    });
    for (name, count) in stats.iter() {
        all[name] = count.into();
    }
    all
}

fn unknown_product(id: &str) -> Answer {
    Answer::error(404, format!("there is no product {id}"))
}

/// A call of the cache that did nothing, or we do not know what.
fn failed(error: &Error) -> Answer {
    let status = match error {
        Error::Redis { .. } | Error::WaitTimeout { .. } | Error::Contended { .. } => 503,
        Error::Id { .. } => 400,
        _ => 500,
    };
    Answer::error(status, error.to_string())
}

/// The primary has changed, and the cache could not be told: rather say so than report success.
fn half_done(shop: &Shop, error: &Error) -> Answer {
    let ttl = shop.cache.ttl();
    Answer::error(
        503,
        format!(
            "the primary has the new value, but a cached record may be old for up to {ttl:?}: {error}"
        ),
    )
}
