//! Times of interleaved calls. The speed of a noisy machine changes from second to second, and then
//! all calls of a round are affected alike.

#![allow(dead_code, reason = "each bench takes its own part")]

use std::time::{Duration, Instant};

/// One of the interleaved calls: runs it, and returns its time.
pub(crate) type Call<'a> = Box<dyn FnMut() -> Duration + 'a>;

pub(crate) fn timed(call: impl FnOnce()) -> Duration {
    let began = Instant::now();
    call();
    began.elapsed()
}

/// The time of one call, computed from many: for calls that are too short for the clock.
pub(crate) fn timed_each(times: u32, mut call: impl FnMut()) -> Duration {
    timed(|| (0..times).for_each(|_| call())) / times
}

/// The median of each call, in seconds. `begin` is called before each round, and is not timed.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    begin: impl FnMut(usize),
    calls: [Call<'_>; N],
) -> [f64; N] {
    all_in_turn(rounds, begin, calls).map(|mut times| median(&mut times))
}

/// The upper end of the fastest tenth. For calls that only touch memory, because other load on the
/// machine can only slow them down.
pub(crate) fn fastest_in_turn<const N: usize>(rounds: usize, calls: [Call<'_>; N]) -> [f64; N] {
    all_in_turn(rounds, |_| {}, calls).map(|mut times| {
        let tenth = times.len() / 10;
        *times.select_nth_unstable_by(tenth, f64::total_cmp).1
    })
}

fn all_in_turn<const N: usize>(
    rounds: usize,
    mut begin: impl FnMut(usize),
    mut calls: [Call<'_>; N],
) -> [Vec<f64>; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..rounds {
        begin(round);
        for (call, times) in calls.iter_mut().zip(&mut times) {
            times.push(call().as_secs_f64());
        }
    }
    times
}

pub(crate) fn median(times: &mut [f64]) -> f64 {
    let middle = times.len() / 2;
    *times.select_nth_unstable_by(middle, f64::total_cmp).1
}
