//! Rounds in which each peer has a turn.
//!
//! The speed of a noisy machine changes from second to second. So all take short turns, in varying
//! order.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// The outcomes of each peer, round by round.
pub(crate) fn rounds<T, O>(
    rounds: usize,
    who: &[T],
    progress: &ProgressBar,
    mut turn: impl FnMut(&T) -> O,
) -> Vec<Vec<O>> {
    let mut outcomes: Vec<Vec<O>> = who.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for place in 0..who.len() {
            let index = (round + place) % who.len();
            outcomes[index].push(turn(&who[index]));
            progress.inc(1);
        }
    }
    outcomes
}

/// A progress line on stderr, if that is a terminal.
pub(crate) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<34} {wide_bar} {percent} %, {eta} left")
        .expect("the template is right");
    let bar = ProgressBar::no_length().with_style(style);
    bar.with_finish(ProgressFinish::AndClear)
}
