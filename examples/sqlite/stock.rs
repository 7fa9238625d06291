//! The contents of a new shop: the same in each shop of one size.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rusqlite::{Connection, Transaction, params};

use crate::{
    Outcome,
    load::{CUSTOMERS, PRICES},
    progress,
};

/// Products in a category, on average: a read of one product scans that many.
const IN_A_CATEGORY: u32 = 500;

/// Ratings of a product, at most.
const RATINGS: u32 = 16;

const WOODS: [&str; 8] = [
    "Ash", "Beech", "Birch", "Cherry", "Maple", "Oak", "Pine", "Walnut",
];
const THINGS: [&str; 8] = [
    "Board", "Bowl", "Box", "Chair", "Ladle", "Shelf", "Stool", "Tray",
];

/// Fills an empty file.
pub(crate) fn fill(
    connection: &mut Connection,
    products: u32,
    interrupted: &AtomicBool,
) -> Outcome<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    let mut stock = Stock {
        transaction: &transaction,
        rng: StdRng::seed_from_u64(1),
        categories: products / IN_A_CATEGORY,
    };
    for category in 1..=stock.categories {
        stock.add_category(category)?;
    }
    let bar = progress::bar("making the shop, product", products.into());
    for product in 1..=products {
        stock.add_product(product)?;
        if interrupted.load(SeqCst) {
            return Err("interrupted".into());
        }
        bar.inc(1);
    }
    transaction.commit()?;
    // Statistics, so that SQLite finds the best query plan.
    connection.execute_batch("ANALYZE")?;
    Ok(())
}

struct Stock<'a> {
    transaction: &'a Transaction<'a>,
    rng: StdRng,
    categories: u32,
}

impl Stock<'_> {
    fn add_category(&self, category: u32) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("INSERT INTO category (id, name) VALUES (?1, ?2)")?
            .execute(params![category, format!("Aisle {category}")])?;
        Ok(())
    }

    /// Adds a product with its ratings. Popular products, those with small numbers, are in any
    /// category.
    fn add_product(&mut self, product: u32) -> rusqlite::Result<()> {
        let rng = &mut self.rng;
        let wood = WOODS.choose(rng).expect("there are some");
        let thing = THINGS.choose(rng).expect("there are some");
        self.transaction
            .prepare_cached(
                "INSERT INTO product (id, category, name, price_cents, stock)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                product,
                rng.random_range(1..=self.categories),
                format!("{wood} {thing} {product}"),
                rng.random_range(PRICES),
                rng.random_range(0..100),
            ])?;
        let mut add_rating = self.transaction.prepare_cached(
            // A customer rates a product once.
            "INSERT OR IGNORE INTO rating (product, customer, stars) VALUES (?1, ?2, ?3)",
        )?;
        for _ in 0..rng.random_range(0..=RATINGS) {
            let customer = rng.random_range(1..=CUSTOMERS);
            let stars = rng.random_range(1..=5);
            add_rating.execute([product, customer, stars])?;
        }
        Ok(())
    }
}
