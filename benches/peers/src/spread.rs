//! What is said of samples: the median, and the quartiles around it.

/// One sample a round; those of one round belong together across peers.
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
        // Between two samples: in proportion.
        let at = |quarters: usize| {
            let last = sorted.len() - 1;
            let (below, rest) = (last * quarters / 4, last * quarters % 4);
            let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
            // Of two that are infinite there is no difference.
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

    /// Round by round: what shifted a whole round shifts no ratio.
    pub(crate) fn of_ratios(samples: &[f64], to: &[f64]) -> Spread {
        // Nothing is as much as nothing.
        let ratio = |(a, b): (&f64, &f64)| if a.total_cmp(b).is_eq() { 1.0 } else { a / b };
        let ratios: Vec<_> = samples.iter().zip(to).map(ratio).collect();
        Spread::of(&ratios)
    }

    /// Whether a value lies between the quartiles.
    pub(crate) fn holds(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
