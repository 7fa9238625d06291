//! Histograms of durations, in text.

use std::time::Duration;

use crate::page::Page;

/// Fits into a terminal of 80 columns, together with labels and counts.
const WIDEST: usize = 40;

/// Prints bins that grow, up to 10, 20, 50, 100, 200, ... us: the delays differ by orders of
/// magnitude. Samples of the process that loaded are shown apart from the others.
pub(crate) fn growing(page: &mut Page, here: &[Duration], elsewhere: &[Duration]) {
    bins(page, &steps().collect::<Vec<_>>(), here, elsewhere);
    if !elsewhere.is_empty() {
        page.line("  █ same process   ░ other processes");
    }
}

/// Prints about ten bins of equal width.
pub(crate) fn even(page: &mut Page, samples: &[Duration]) {
    let (Some(least), Some(most)) = (samples.iter().min(), samples.iter().max()) else {
        return;
    };
    let Some(width) = steps().find(|step| most.saturating_sub(*least) <= *step * 10) else {
        return;
    };
    let bounds = |from: Duration| (0..).map(move |n| from + width * n);
    let first = width * u32::try_from(least.as_nanos() / width.as_nanos()).unwrap_or(u32::MAX);
    let bounds: Vec<_> = bounds(first)
        .take_while(|bound| *bound < *most + width)
        .collect();
    bins(page, &bounds, samples, &[]);
}

/// Counts the samples of each bin, from the first bin with a sample to the last.
fn bins(page: &mut Page, bounds: &[Duration], here: &[Duration], elsewhere: &[Duration]) {
    let bin = |sample: &Duration| bounds.partition_point(|bound| bound < sample);
    let mut bins = vec![(0, 0); bounds.len() + 1];
    for sample in here {
        bins[bin(sample)].0 += 1;
    }
    for sample in elsewhere {
        bins[bin(sample)].1 += 1;
    }
    let some = |(here, elsewhere): &(usize, usize)| here + elsewhere > 0;
    let (Some(first), Some(last)) = (bins.iter().position(some), bins.iter().rposition(some))
    else {
        page.line("  (nobody waited)");
        return;
    };
    let fullest = bins.iter().map(|(here, elsewhere)| here + elsewhere).max();
    // Rounded up, so that a single sample among thousands is visible.
    let length = |count: usize| (count * WIDEST).div_ceil(fullest.unwrap_or(1));

    for (number, (here, elsewhere)) in bins.iter().enumerate().take(last + 1).skip(first) {
        let bound = match bounds.get(number) {
            Some(bound) => format!("up to {bound:?}"),
            None => "more".to_owned(),
        };
        let bar = "█".repeat(length(*here)) + &"░".repeat(length(*elsewhere));
        page.line(&format!("  {bound:<16}{:>8}  {bar}", here + elsewhere));
    }
}

/// 10 µs, 20 µs, 50 µs, 100 µs … 50 s.
fn steps() -> impl Iterator<Item = Duration> {
    (1..=7).flat_map(|power| [1, 2, 5].map(|step| Duration::from_micros(step * 10_u64.pow(power))))
}
