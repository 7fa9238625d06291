//! The measurements along one axis, and their growth.

use std::fmt::Write;

/// The exponent that still counts as linear. Noise, and memory that is farther from the processor,
/// make the line steeper. The bare calls reach 1.12 too.
const LINEAR: f64 = 1.25;

pub(crate) struct Table {
    pub(crate) title: String,
    /// The varied quantity: its name, and its value at each step.
    pub(crate) axis: &'static str,
    pub(crate) steps: Vec<(String, f64)>,
    pub(crate) columns: Vec<Column>,
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// The figure of each step.
    pub(crate) figures: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// In seconds.
    Time,
    /// The ratio to another column.
    Ratio,
    Count,
}

impl Table {
    /// `figures`: the rows, one for each step.
    pub(crate) fn new<const N: usize>(
        title: String,
        axis: &'static str,
        steps: Vec<(String, f64)>,
        columns: [(&'static str, Unit); N],
        rows: &[[f64; N]],
    ) -> Table {
        let column = |(number, (name, unit))| Column {
            name,
            unit,
            figures: rows.iter().map(|row: &[f64; N]| row[number]).collect(),
        };
        let columns = columns.into_iter().enumerate().map(column).collect();
        Table {
            title,
            axis,
            steps,
            columns,
        }
    }

    fn sizes(&self) -> Vec<f64> {
        self.steps.iter().map(|(_, size)| *size).collect()
    }

    /// The table as Markdown.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        let line = |text: &mut String, name: &str, cell: &dyn Fn(&Column) -> String| {
            let cells: Vec<_> = self.columns.iter().map(cell).collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        };
        line(&mut text, self.axis, &|column| column.name.to_owned());
        let _ = writeln!(text, "|---:|{}", "---:|".repeat(self.columns.len()));
        for (row, (name, _)) in self.steps.iter().enumerate() {
            line(&mut text, name, &|column| {
                column.unit.show(column.figures[row])
            });
        }
        let sizes = self.sizes();
        line(&mut text, "exponent", &|column| {
            format!("**{}**", digits(exponent(&sizes, &column.figures)))
        });
        let last = self.steps.len().saturating_sub(2);
        line(
            &mut text,
            "… of the last step",
            &|column| match column.unit {
                Unit::Ratio => String::new(),
                _ => digits(exponent(&sizes[last..], &column.figures[last..])),
            },
        );
        text
    }

    /// The columns that grow faster than linearly, as text.
    pub(crate) fn worse_than_linear(&self) -> Vec<String> {
        let sizes = self.sizes();
        let last = sizes.len().saturating_sub(2);
        self.columns
            .iter()
            .filter(|column| column.unit != Unit::Ratio)
            .filter_map(|column| {
                let all = exponent(&sizes, &column.figures);
                let steep = all.max(exponent(&sizes[last..], &column.figures[last..]));
                let (name, axis) = (column.name, self.axis);
                (steep > LINEAR)
                    .then(|| format!("{name} grows with {axis} to the power of {steep:.2}"))
            })
            .collect()
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Unit::Ratio => format!("{figure:.2}"),
            Unit::Count => format!("{figure:.0}"),
            Unit::Time if figure < 1e-6 => format!("{:.0} ns", figure * 1e9),
            Unit::Time if figure < 1e-4 => format!("{:.1} µs", figure * 1e6),
            Unit::Time if figure < 1e-3 => format!("{:.0} µs", figure * 1e6),
            Unit::Time => format!("{:.1} ms", figure * 1e3),
        }
    }
}

/// The exponent as text, without a sign if it rounds to zero.
fn digits(exponent: f64) -> String {
    let text = format!("{exponent:.2}");
    text.strip_prefix('-')
        .filter(|rest| *rest == "0.00")
        .map_or(text.clone(), str::to_owned)
}

/// The slope of the line through the logarithms, by least squares. 0 if there is no line.
fn exponent(sizes: &[f64], figures: &[f64]) -> f64 {
    let points: Vec<_> = sizes
        .iter()
        .zip(figures)
        .filter(|(_, figure)| **figure > 0.0)
        .map(|(size, figure)| (size.ln(), figure.ln()))
        .collect();
    if points.len() < 2 {
        return 0.0;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| {
        let sum: f64 = points.iter().map(of).sum();
        sum / points.iter().map(|_| 1.0).sum::<f64>()
    };
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    covariance / variance
}
