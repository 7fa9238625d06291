//! The record that all peers cache, and the primary that has it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::support;

/// Longer than any measurement.
pub(crate) const TTL: Duration = Duration::from_hours(1);

/// The record, which each peer serialises in its own way. All fields are text, as in a Redis hash.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Product {
    id: String,
    name: String,
    price_cents: String,
    stock: String,
}

impl Product {
    fn new() -> Product {
        let loaf = support::loaf();
        let field = |name| loaf.get(name).unwrap_or_default().to_owned();
        Product {
            id: field("id"),
            name: field("name"),
            price_cents: field("price_cents"),
            stock: field("stock"),
        }
    }

    /// The fields of a hash.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 4] {
        [
            ("id", &self.id),
            ("name", &self.name),
            ("price_cents", &self.price_cents),
            ("stock", &self.stock),
        ]
    }
}

/// Serves any number of readers at once, unlike a real primary, and counts them.
#[derive(Debug)]
pub(crate) struct Primary {
    product: Product,
    takes: Duration,
    loads: AtomicU32,
}

impl Primary {
    pub(crate) fn new(takes: Duration) -> Primary {
        Primary {
            product: Product::new(),
            takes,
            loads: AtomicU32::new(0),
        }
    }

    pub(crate) fn read(&self) -> Product {
        self.loads.fetch_add(1, Ordering::Relaxed);
        if !self.takes.is_zero() {
            thread::sleep(self.takes);
        }
        self.product.clone()
    }

    pub(crate) fn loads(&self) -> u32 {
        self.loads.load(Ordering::Relaxed)
    }
}
