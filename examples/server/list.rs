//! A page that lists all products: one cached record, under a tag.
//!
//! A write of a product also invalidates the tag, if the list shows the field that it changes. The
//! writer need not know which pages, or how many, are cached under the tag.

use std::time::{Duration, Instant};

use cache_aside::{Backend, Cache, Error, Lookup, Record, Stats, UnitOfWork};
use serde_json::{Value, json};

use crate::{
    http::Answer,
    millis,
    primary::{Down, MockPrimaryStore},
    recording::Recording,
    routes::{Shop, failed, stats},
};

/// The tag of every page that shows names and prices of products.
const TAG: &str = "products";

/// The id of the one page that there is.
const ID: &str = "all";

/// The one field of the cached page: its content as text, as a web shop would keep its HTML.
const CONTENT: &str = "products";

/// The cache of the list.
pub(crate) struct ProductList(Cache);

impl ProductList {
    pub(crate) fn new(
        backend: &Backend,
        ttl: Duration,
        recording: &Recording,
    ) -> Result<ProductList, Error> {
        let builder = Cache::builder(backend).prefix("cache:page:").ttl(ttl);
        Ok(ProductList(recording.of(builder).build()?))
    }

    fn get(&self, primary: &MockPrimaryStore) -> Result<Lookup<Record>, Error> {
        let load = |_: &str| {
            let products = primary.read_all()?;
            let rows: Vec<_> = products.iter().map(row).collect();
            let content = Value::from(rows).to_string();
            Ok::<_, Down>(Some(Record::from([(CONTENT, content)])))
        };
        self.0.options().tags(&[TAG]).get(ID, load)
    }

    /// The tags of the pages that show this field of products.
    pub(crate) fn tags_of(field: &str) -> &'static [&'static str] {
        match field {
            "name" | "price_cents" => &[TAG],
            _ => &[],
        }
    }

    /// Adds the tags of this field to a unit of work, which invalidates them.
    pub(crate) fn add_to<'a>(
        &'a self,
        unit: &mut UnitOfWork<'a>,
        field: &str,
    ) -> Result<(), Error> {
        let mut tags = ProductList::tags_of(field).iter();
        tags.try_for_each(|tag| unit.add_tag(&self.0, tag))
    }

    /// Invalidates the tags of this field.
    pub(crate) fn invalidate(&self, field: &str) -> Result<(), Error> {
        self.0.invalidate_tags(ProductList::tags_of(field))
    }

    /// Removes the cached page. Returns how many there were.
    pub(crate) fn clear(&self) -> Result<u64, Error> {
        self.0.clear()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.0.stats()
    }

    pub(crate) fn reset_stats(&self) {
        self.0.reset_stats();
    }
}

/// What the list shows of a product.
fn row(product: &Record) -> Value {
    json!({
        "id": product["id"],
        "name": product["name"],
        "price_cents": product["price_cents"],
    })
}

/// The list, and where it came from.
pub(crate) fn read(shop: &Shop) -> Result<Answer, Answer> {
    let began = Instant::now();
    let found = shop.list.get(&shop.primary);
    let total = began.elapsed();
    let found = found.map_err(|error| failed(&error))?;
    let content = found.record().and_then(|page| page.get(CONTENT));
    let products = content.and_then(|content| serde_json::from_str::<Value>(content).ok());
    Ok(Answer::json(&json!({
        "products": products,
        "hit": found.is_hit(),
        "source": found.source().to_string(),
        "redis_latency_ms": millis(found.redis_latency()),
        "total_latency_ms": millis(total),
        "stats": stats(shop),
    })))
}
