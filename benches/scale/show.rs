//! Figures for people.

pub(crate) fn micros(figure: f64) -> String {
    match figure {
        ..0.995 => format!("{figure:.2} µs"),
        0.995..9.95 => format!("{figure:.1} µs"),
        _ => format!("{figure:.0} µs"),
    }
}

pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        few @ ..0.995 => format!("{few:.2} %"),
        some @ 0.995..9.95 => format!("{some:.1} %"),
        // A near cache's hit rate.
        nearly @ 99.0..100.0 => format!("{nearly:.1} %"),
        many => format!("{many:.0} %"),
    }
}

/// Two or three digits that mean something; thousands apart.
pub(crate) fn plain(figure: f64) -> String {
    match figure {
        ..0.995 => format!("{figure:.2}"),
        0.995..9.95 => format!("{figure:.1}"),
        9.95..999.5 => format!("{figure:.0}"),
        _ => {
            let digits = format!("{figure:.0}");
            let first = digits.len() % 3;
            let mut parts: Vec<_> = (first..digits.len())
                .step_by(3)
                .map(|at| &digits[at..at + 3])
                .collect();
            if first > 0 {
                parts.insert(0, &digits[..first]);
            }
            parts.join(",")
        }
    }
}
