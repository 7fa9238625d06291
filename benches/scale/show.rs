//! Formatting of figures.

pub(crate) fn micros(figure: f64) -> String {
    match figure {
        ..0.995 => format!("{figure:.2} µs"),
        0.995..9.95 => format!("{figure:.1} µs"),
        9.95..999.5 => format!("{figure:.0} µs"),
        _ => format!("{:.1} ms", figure / 1e3),
    }
}

pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        few @ ..0.995 => format!("{few:.2} %"),
        some @ 0.995..9.95 => format!("{some:.1} %"),
        // The hit rate of a near cache.
        nearly @ 99.0..100.0 => format!("{nearly:.1} %"),
        many => format!("{many:.0} %"),
    }
}

/// Two or three digits, with separators for thousands. Whole numbers stay whole.
pub(crate) fn plain(figure: f64) -> String {
    match figure {
        ..999.5 if figure.fract() == 0.0 => format!("{figure:.0}"),
        ..0.0995 => format!("{figure:.3}"),
        0.0995..0.995 => format!("{figure:.2}"),
        0.995..9.95 => format!("{figure:.1}"),
        9.95..999.5 => format!("{figure:.0}"),
        _ => {
            let unit = 10_f64.powf(figure.log10().floor() - 2.0);
            apart(&format!("{:.0}", (figure / unit).round() * unit))
        }
    }
}

/// `1,000,000`.
fn apart(digits: &str) -> String {
    let first = digits.len() % 3;
    let (first, rest) = digits.split_at(first);
    let rest = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let parts = (!first.is_empty()).then(|| first.into()).into_iter();
    parts.chain(rest).collect::<Vec<_>>().join(",")
}
