//! The operations of the threads: random, and the same for the same seed.
//!
//! With the exponent 1, product 1 is the most popular, product 2 is asked for half as often,
//! product 3 a third as often, and so on (Zipf's law). Reads and writes follow the same
//! distribution.

use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::Zipf;

use crate::{args::Args, primary::Change};

/// The number of customers who rate products.
pub(crate) const CUSTOMERS: u32 = 1_000_000;

/// The price in cents of any product at any time.
pub(crate) const PRICES: std::ops::Range<u32> = 100..20_000;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Read { product: u32 },
    Write { product: u32, change: Change },
}

/// The operations of one thread, without end.
pub(crate) struct Load {
    rng: StdRng,
    popularity: Zipf<f64>,
    /// The probability that an operation is a write.
    chance: f64,
}

impl Load {
    /// Creates the operations of one thread. Each thread has different ones.
    pub(crate) fn new(args: &Args, seed: u64, thread: u32) -> Load {
        Load {
            rng: StdRng::seed_from_u64(seed.wrapping_add(thread.into())),
            popularity: Zipf::new(args.rows.into(), args.skew)
                .expect("there are rows, and the exponent is not negative"),
            chance: f64::from(args.writes) / 100.0,
        }
    }

    pub(crate) fn next(&mut self) -> Operation {
        let product = self.product();
        if self.rng.random_bool(self.chance) {
            let change = self.change();
            Operation::Write { product, change }
        } else {
            Operation::Read { product }
        }
    }

    pub(crate) fn product(&mut self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a whole number between 1 and the number of rows"
        )]
        let number = self.rng.sample(self.popularity) as u32;
        number
    }

    fn change(&mut self) -> Change {
        if self.rng.random() {
            Change::Price {
                cents: self.rng.random_range(PRICES),
            }
        } else {
            Change::Rating {
                customer: self.rng.random_range(1..=CUSTOMERS),
                stars: self.rng.random_range(1..=5),
            }
        }
    }
}
