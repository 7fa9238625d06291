//! Every request of the demo and its answer.

use std::sync::Arc;

use cache_aside::Error;
use serde_json::{Value, json};
use tiny_http::{Method, Request};

use crate::{
    audit,
    http::{Answer, Form},
    list::{self, ProductList},
    metrics::Metrics,
    millis, origin, page,
    primary::MockPrimaryStore,
    reads,
    settings::{self, InUse},
    stampede,
    store::Kind,
    updates,
};

/// The state that the routes use.
pub(crate) struct Shop {
    pub(crate) in_use: InUse,
    pub(crate) list: ProductList,
    pub(crate) primary: Arc<MockPrimaryStore>,
    pub(crate) metrics: Metrics,
    pub(crate) about: About,
}

/// Where the records are, as text, and how to choose another store.
pub(crate) struct About {
    pub(crate) kind: Kind,
    pub(crate) place: String,
    pub(crate) other: String,
}

type Route = fn(&Shop, &Form) -> Result<Answer, Answer>;

enum Verbs {
    Get(Route),
    Post(Route),
    Both { get: Route, post: Route },
}

/// The table of all routes.
fn verbs(path: &str) -> Option<Verbs> {
    Some(match path {
        "/" => Verbs::Get(|_, _| Ok(page::answer())),
        "/products" => Verbs::Get(|shop, _| Ok(products(shop))),
        "/read" => Verbs::Get(reads::read),
        "/read_many" => Verbs::Get(reads::read_many),
        "/list" => Verbs::Get(|shop, _| list::read(shop)),
        "/about" => Verbs::Get(|shop, _| Ok(about(shop))),
        "/metrics" => Verbs::Get(|shop, _| Ok(shop.metrics.answer())),
        "/audit" => Verbs::Get(|shop, _| Ok(audit::tell(shop))),
        "/stats" => Verbs::Get(|shop, _| Ok(Answer::json(&stats(shop)))),
        "/settings" => Verbs::Both {
            get: |shop, _| Ok(settings::tell(shop)),
            post: settings::set,
        },
        "/invalidate" => Verbs::Post(invalidate),
        "/expire" => Verbs::Post(expire),
        "/clear" => Verbs::Post(|shop, _| clear(shop)),
        "/update" => Verbs::Post(updates::update),
        "/update_primary" => Verbs::Post(updates::update_primary),
        "/update_field" => Verbs::Post(updates::update_field),
        "/stampede" => Verbs::Post(stampede),
        "/reset" => Verbs::Post(|shop, _| Ok(reset(shop))),
        _ => return None,
    })
}

pub(crate) fn answer(shop: &Shop, request: &mut Request) -> Answer {
    if let Err(refusal) = origin::check(request) {
        return refusal;
    }
    let path = request.url().split('?').next().unwrap_or_default();
    let Some(verbs) = verbs(path) else {
        return Answer::error(404, "there is nothing here");
    };
    let (form, route) = match (verbs, request.method()) {
        (Verbs::Get(route) | Verbs::Both { get: route, .. }, Method::Get | Method::Head) => {
            (Form::of_query(request), route)
        }
        (Verbs::Post(route) | Verbs::Both { post: route, .. }, Method::Post) => {
            (Form::of_body(request), route)
        }
        (Verbs::Get(_), _) => return wrong_method("GET, HEAD"),
        (Verbs::Post(_), _) => return wrong_method("POST"),
        (Verbs::Both { .. }, _) => return wrong_method("GET, HEAD, POST"),
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

fn invalidate(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let deleted = shop.in_use.cache().invalidate(id);
    let deleted = deleted.map_err(|error| failed(&error))?;
    Ok(Answer::json(&json!({
        "id": id,
        "deleted": deleted,
        "stats": stats(shop),
    })))
}

/// Makes the cached record stale; without grace, removes it.
fn expire(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let id = form.require_text("id")?;
    let expired = shop.in_use.cache().expire(id);
    let expired = expired.map_err(|error| failed(&error))?;
    Ok(Answer::json(&json!({
        "id": id,
        "expired": expired,
        "stats": stats(shop),
    })))
}

/// Removes everything from the cache.
fn clear(shop: &Shop) -> Result<Answer, Answer> {
    let ended = shop.in_use.cache().clear();
    let ended = ended.and_then(|products| Ok(products + shop.list.clear()?));
    let ended = ended.map_err(|error| failed(&error))?;
    Ok(Answer::json(
        &json!({ "ended": ended, "stats": stats(shop) }),
    ))
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
                "hit": reader.hit,
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
    shop.in_use.cache().reset_stats();
    shop.in_use.reports.forget();
    shop.list.reset_stats();
    shop.primary.reset_reads();
    Answer::json(&stats(shop))
}

/// States of the store, which both caches share. All other numbers are counts.
const STATES: [&str; 3] = ["invalidations_pending", "breaker_open", "tracking_live"];

/// The counters that most answers carry, of the products and the list together.
pub(crate) fn stats(shop: &Shop) -> Value {
    let cache = shop.in_use.cache();
    let (mut stats, list) = (cache.stats(), shop.list.stats());
    let counts = stats.iter().zip(list.iter());
    // The list is never stale and never refreshed, so these are enough for the hit rate.
    stats.hits += list.hits;
    stats.misses += list.misses;
    let mut all = json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "stampedes_suppressed": stats.stampedes_suppressed,
        // One decimal is enough for a reader. Null before the first read.
        "hit_rate_pct": stats.hit_rate().map(|rate| (rate * 1_000.0).round() / 10.0),
        "primary_reads_total": shop.primary.reads(),
        "primary_read_latency_ms": millis(shop.primary.latency()),
        "cache_ttl_s": cache.ttl().as_secs(),
    });
    for ((name, count), (_, of_list)) in counts {
        let is_state = STATES.contains(&name);
        all[name] = if is_state { count } else { count + of_list }.into();
    }
    all
}

pub(crate) fn no_product(id: &str) -> String {
    format!("there is no product {id}")
}

/// A call of the cache that failed, or whose effect is unknown.
pub(crate) fn failed(error: &Error) -> Answer {
    let status = match error {
        Error::Store { .. } | Error::WaitTimeout { .. } | Error::Contended { .. } => 503,
        Error::Loader(_) => 502,
        Error::LoadTimeout { .. } => 504,
        Error::InvalidId { .. } => 400,
        _ => 500,
    };
    Answer::error(status, format!("{error:#}"))
}
