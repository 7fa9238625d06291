//! A first cache, to copy from: two reads of a slow primary store, a write, and one more read.
//!
//! ```text
//! cargo run --example quickstart                              # caches in this process
//! cargo run --example quickstart -- redis://localhost:6379    # caches in Redis
//! ```

use std::{
    collections::HashMap,
    env,
    error::Error,
    io, thread,
    time::{Duration, Instant},
};

use cache_aside::{Backend, Cache, Memory};
use serde::{Deserialize, Serialize};

/// What is cached. Each field becomes a field of a Redis hash.
#[derive(Clone, Serialize, Deserialize)]
struct Product {
    name: String,
    price_cents: u32,
}

/// Stands for your database.
type Primary = HashMap<String, Product>;

fn main() -> Result<(), Box<dyn Error>> {
    // Redis shares the cached records between processes. Without an address, this process keeps
    // 10,000.
    let backend: Backend = match env::args().nth(1) {
        Some(url) => url.into(),
        None => Memory::new(10_000).into(),
    };
    let cache: Cache<Product> = Cache::builder(backend)
        .prefix("quickstart:product:")
        .ttl(Duration::from_secs(30))
        .build()?;
    // Only this example needs this: the record of an earlier run may still be in Redis.
    if cache.invalidate("p-001").is_err() {
        println!("Redis does not answer, so each read goes to the primary");
    }

    let (name, price_cents) = ("Sourdough loaf".to_owned(), 749);
    let mut primary = Primary::from([("p-001".to_owned(), Product { name, price_cents })]);
    show(&cache, &primary)?; // Loads the record.
    show(&cache, &primary)?; // Finds it in the cache.

    // A write: first the primary, then the cache.
    if let Some(product) = primary.get_mut("p-001") {
        product.price_cents = 699;
    }
    println!("write    the new price is 699 cents");
    if let Err(error) = cache.invalidate("p-001") {
        // The write is done, so do not report it as failed. Log the error and continue. The cache
        // repeats the invalidation as soon as Redis answers, and until then this process does not
        // read the old record. Another process may read it, at most until its TTL ends.
        eprintln!("the invalidation is late: {error:#}");
    }

    show(&cache, &primary) // Loads the new record.
}

fn show(cache: &Cache<Product>, primary: &Primary) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    // The closure is the loader. It runs on a miss, on this thread, and may borrow what it needs.
    let found = cache.get("p-001", |id| {
        thread::sleep(Duration::from_millis(200)); // A slow query.
        Ok::<_, io::Error>(primary.get(id).cloned())
    })?;
    let (source, elapsed) = (found.source().name(), start.elapsed());
    // `None`: the primary has no such record.
    if let Some(product) = found.record() {
        let (name, cents) = (&product.name, product.price_cents);
        println!("{source:<9}{name}, {cents} cents ({elapsed:.1?})");
    }
    Ok(())
}
