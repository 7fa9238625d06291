//! Says in words which peer is first. It is computed from the figures, so it also says when it is
//! not this crate.

use crate::{
    figure::three_digits,
    peer::OURS,
    spread::{Samples, Spread},
};

/// Which of two figures is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wins {
    Smaller,
    Larger,
}

/// The figures of one peer.
pub(crate) type Entry<'a> = (&'static str, &'a Samples);

pub(crate) fn sentence(what: &str, entries: &[Entry<'_>], wins: Wins) -> String {
    let mut ranked: Vec<_> = entries
        .iter()
        .map(|(name, samples)| (*name, Spread::of(samples).median, *samples))
        .collect();
    ranked.sort_by(|(_, a, _), (_, b, _)| match wins {
        Wins::Smaller => a.total_cmp(b),
        Wins::Larger => b.total_cmp(a),
    });
    let Some((_, _, best)) = ranked.first().copied() else {
        return String::new();
    };
    let to_best = |samples: &Samples| Spread::of_ratios(samples, best);
    // Level with the best if the ratio 1 is between the quartiles.
    let is_level = |samples: &Samples| to_best(samples).holds(1.0);
    let at = |samples| match to_best(samples).median {
        // The ratio to zero.
        f64::INFINITY => String::new(),
        times => format!(", at {} times that", three_digits(times)),
    };
    let (first, behind): (Vec<_>, Vec<_>) = ranked
        .iter()
        .copied()
        .partition(|(_, _, samples)| is_level(samples));
    let names: Vec<_> = first.iter().map(|(name, ..)| *name).collect();
    let ahead = match &*names {
        [name] => format!("{name} is first"),
        _ => format!("{} are level", listed(&names)),
    };
    let place = behind.iter().position(|(name, ..)| *name == OURS);
    let rest = match (place, behind.first()) {
        (Some(place), _) => {
            let (of, all) = (ordinal(first.len() + place), ranked.len());
            format!("; {OURS} is {of} of {all}{}", at(behind[place].2))
        }
        (None, Some((next, _, samples))) if names.contains(&OURS) => {
            format!("; next is {next}{}", at(samples))
        }
        (None, _) => String::new(),
    };
    format!("- **{what}**: {ahead}{rest}.")
}

/// Lists this crate before the others.
fn listed(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_by_key(|name| *name != OURS);
    match &*names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}

fn ordinal(place: usize) -> String {
    match place {
        1 => "second".to_owned(),
        2 => "third".to_owned(),
        _ => format!("{}th", place + 1),
    }
}
