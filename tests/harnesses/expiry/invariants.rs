//! The invariants of each run. They hold whatever the machine does meanwhile.
//!
//! On a busy machine reads are late, and lateness proves nothing. So no check here uses the time
//! that a read took. The checks use how a read was answered, and which event came before which. A
//! read that waited for a load is a kind of its own, not a late read. If a process was stopped for
//! as long as a lease lasts, others may load, and that is not counted as an error.

use std::time::Duration;

use crate::{
    outcome::{Outcome, float},
    page::duration,
    plan::{How, LEASE_TTL, Load, Plan, Read, Run},
};

/// How much the clock of Redis, which counts milliseconds, may differ from ours.
const CLOCKS: Duration = Duration::from_millis(10);

/// Minus the logarithm of a probability. An event of less than 1 in e^14, or a million, is not
/// taken for chance.
const SURE: f64 = 14.0;

/// The broken invariants, one line each.
pub(crate) fn broken(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut flaws = Vec::new();
    flaws.extend(one_load_at_a_time(outcome));
    flaws.extend(nothing_is_fresh_past_its_ttl(plan, outcome));
    flaws.extend(as_many_loads_as_allowed(plan, outcome));
    if outcome.run.has_grace() {
        flaws.extend(nobody_waits_in_grace(outcome));
    }
    if outcome.run == Run::Background {
        flaws.extend(no_reader_loads(outcome));
    } else if outcome.run.has_grace() {
        // A thread of the cache begins its load some time after the read that found the record
        // stale, so this can only be said of readers that load.
        flaws.extend(stale_only_while_one_loads(outcome));
    }
    if outcome.run == Run::Early {
        flaws.extend(refreshed_before_it_expires(plan, outcome));
    }
    flaws
}

fn one_load_at_a_time(outcome: &Outcome) -> Option<String> {
    let loads = outcome.loads();
    let mut pairs = loads.windows(2);
    let is_broken = pairs.any(|pair| {
        let [(read, one), (_, next)] = pair else {
            return false;
        };
        next.began < one.ended && !may_have_lapsed(read)
    });
    is_broken.then(|| format!("{} loads at the same time", outcome.loads_at_once()))
}

/// Whether this read, which loaded, may have lost its lease: the process was stopped, and so was
/// its lease renewer.
fn may_have_lapsed(read: &Read) -> bool {
    read.took() >= LEASE_TTL
}

/// The read that loaded the newest record at the time of `read`, or a newer one.
fn filled_before<'a>(loads: &'a [(&Read, Load)], read: &Read) -> Option<&'a Read> {
    let fills = loads.iter().rev().filter(|(_, load)| load.succeeded);
    let mut before = fills.filter(|(fill, _)| fill.began <= read.answered);
    before.next().map(|(fill, _)| *fill)
}

fn nothing_is_fresh_past_its_ttl(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let loads = outcome.loads();
    let mut hits = outcome.reads().filter(|read| read.has(How::Hit));
    let is_old = |hit: &&Read| {
        let fill = filled_before(&loads, hit);
        fill.is_none_or(|fill| hit.began.since(fill.answered) > plan.ttl + CLOCKS)
    };
    let old = hits.find(is_old)?;
    let at = duration(old.began.since(outcome.start));
    Some(format!("a record past its TTL served as fresh, at {at}"))
}

/// How many loads are allowed in a TTL. `None`: any number.
pub(crate) fn most_loads_per_ttl(plan: &Plan, outcome: &Outcome) -> Option<f64> {
    match outcome.run {
        Run::Plain | Run::Grace | Run::Background => Some(1.0),
        Run::Early => most_early_loads(plan, outcome),
        // If the primary fails, loads are repeated at once or after pauses that do not depend on
        // the TTL.
        _ => None,
    }
}

/// The number of loads that chance exceeds in at most one of a million runs.
///
/// Times are in units of the load time `δ`. Each of the `n` reads in a `δ` begins a load when
/// `-ln(u)` exceeds the remaining TTL. So the remaining TTL at the first load has a Gumbel
/// distribution about `ln(n)`. By Chernoff's bound with `e^(x/2)`, the sum of `k` such times
/// exceeds `x` with a probability of at most `Γ(½)^k e^((k ln(n) - x)/2)`.
fn most_early_loads(plan: &Plan, outcome: &Outcome) -> Option<f64> {
    /// `2 ln(Γ(½))`
    const LN_PI: f64 = 1.144_729_885_849_400_2;
    let loads = outcome.loads();
    let longest = loads.iter().map(|(_, load)| load.ended.since(load.began));
    let delta = longest.max()?.as_secs_f64();
    let reads = float(outcome.reads().count()) * delta / plan.time.as_secs_f64();
    let refreshes = float(loads.len() - 1);
    let earliest = delta * (reads.ln() + LN_PI + 2.0 * SURE / refreshes);
    // The shortest time between the beginnings of two loads.
    let ttl = plan.ttl.as_secs_f64();
    let shortest = ttl + plan.load.as_secs_f64() - earliest;
    (shortest > 0.0).then(|| ttl / shortest)
}

fn as_many_loads_as_allowed(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let run = outcome.run;
    if run == Run::Early {
        let (most, loads) = (
            most_loads_per_ttl(plan, outcome)?,
            outcome.loads_per_ttl(plan)?,
        );
        return (loads > most).then(|| format!("{loads:.2} loads per TTL"));
    }
    // For these runs the rule is exact: after each load, for how long must there be no other?
    let loads = outcome.loads();
    let mut pairs = loads.windows(2);
    let is_broken = pairs.any(|pair| {
        let [(read, one), (_, next)] = pair else {
            return false;
        };
        let pause = match one.succeeded {
            true => plan.ttl,
            false if run.has_grace() => LEASE_TTL,
            false => return false,
        };
        next.began.since(one.ended) + CLOCKS < pause && !may_have_lapsed(read)
    });
    is_broken.then(|| "a load before the time for it had come".to_owned())
}

fn nobody_waits_in_grace(outcome: &Outcome) -> Option<String> {
    let waits = [How::Loaded, How::Waited, How::Failed];
    let waited = outcome.count(|read| waits.contains(&read.how));
    (waited > 0).then(|| format!("{waited} reads waited or failed, though there was a record"))
}

/// Not even the reader that finds the record stale waits for its load.
fn no_reader_loads(outcome: &Outcome) -> Option<String> {
    let loaded = outcome.count(|read| read.load.is_some() || read.has(How::Refreshed));
    (loaded > 0).then(|| format!("{loaded} reads loaded, though the cache has threads for that"))
}

/// A stale record is only served while another caller holds the lease, or after a failed refresh.
fn stale_only_while_one_loads(outcome: &Outcome) -> Option<String> {
    let loads = outcome.loads();
    let has_reason = |stale: &Read| {
        loads.iter().any(|(read, load)| {
            let pause = if load.succeeded {
                Duration::ZERO
            } else {
                LEASE_TTL + CLOCKS
            };
            read.began <= stale.answered && stale.began <= read.answered.after(pause)
        })
    };
    let without = outcome.count(|read| read.has(How::Stale) && !has_reason(read));
    (without > 0).then(|| format!("{without} reads served what is stale while nobody loaded"))
}

/// With early refresh, chance decides whether a record is reloaded in time. This check finds what
/// chance cannot explain.
///
/// Each hit that was answered in time made a random choice, and began a load with the probability
/// `e^(-left/δ)`. If these probabilities add up to [`SURE`] and no load began, there is an error.
/// The exception is a load that began in time and was late because the machine was busy.
fn refreshed_before_it_expires(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let loads = outcome.loads();
    let hits: Vec<_> = outcome.reads().filter(|read| read.has(How::Hit)).collect();
    let is_flaw = |fill: &Read| {
        let end = fill.answered.after(plan.ttl);
        let in_time = fill
            .answered
            .after(plan.ttl.saturating_sub(plan.load * 3 / 2));
        let is_late = |read: &Read| read.began <= in_time && read.answered >= end;
        if outcome.all().iter().any(is_late) {
            return false;
        }
        let thrown = hits
            .iter()
            .filter(|hit| hit.began >= fill.answered && hit.answered <= in_time);
        let chances = thrown.map(|hit| {
            let left = end.since(hit.began).as_secs_f64();
            (-left / plan.load.as_secs_f64()).exp()
        });
        chances.sum::<f64>() >= SURE
    };
    let waits = outcome
        .reads()
        .filter(|read| [How::Loaded, How::Waited].contains(&read.how));
    let mut missed: Vec<_> = waits
        .filter_map(|read| {
            let mut fills = loads.iter().rev().map(|(fill, _)| *fill);
            fills.find(|fill| fill.answered <= read.began)
        })
        .collect();
    missed.sort_unstable_by_key(|fill| fill.began);
    missed.dedup_by_key(|fill| fill.began);
    let flaws = missed.into_iter().filter(|fill| is_flaw(fill)).count();
    (flaws > 0).then(|| format!("not loaded anew in time, though read often enough: {flaws} times"))
}
