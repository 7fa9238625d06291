//! Summarises samples: the median, and the quartiles around it.

/// One sample a round. The samples of one round belong together across peers.
pub(crate) type Samples = Vec<f64>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(samples: &[f64]) -> Spread {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Interpolates between two samples.
        let at = |quarters: usize| {
            let last = sorted.len() - 1;
            let (below, rest) = (last * quarters / 4, last * quarters % 4);
            let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
            // There is no difference between two infinite samples.
            if rest == 0 || low.total_cmp(&high).is_eq() {
                return low;
            }
            low + (high - low) * [0.0, 0.25, 0.5, 0.75][rest]
        };
        Spread {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }

    /// Computes a ratio for each round. A machine that is slow for a whole round changes no ratio.
    pub(crate) fn of_ratios(samples: &[f64], to: &[f64]) -> Spread {
        // The ratio of two zeros is 1.
        let ratio = |(a, b): (&f64, &f64)| if a.total_cmp(b).is_eq() { 1.0 } else { a / b };
        let ratios: Vec<_> = samples.iter().zip(to).map(ratio).collect();
        Spread::of(&ratios)
    }

    /// Whether a value lies between the quartiles.
    pub(crate) fn holds(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
