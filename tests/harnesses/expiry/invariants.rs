//! What must hold in each run, whatever the machine does meanwhile.
//!
//! A machine with too much to do is late, and lateness proves nothing. So nothing here goes by how
//! long a read took, but by what it was told, and by what came before what: a wait for a load is an
//! answer of its own kind, not a late one. Where a process was stopped for as long as a lease
//! lasts, others may load, and that is not held against it.

use std::time::Duration;

use crate::{
    outcome::{Outcome, float},
    page::duration,
    plan::{How, LEASE_TTL, Load, Plan, Read, Run},
};

/// By so much the clock of Redis, which counts milliseconds, may differ from ours.
const CLOCKS: Duration = Duration::from_millis(10);

/// What happens by chance once in e^14, a million times, is not taken for chance.
const SURE: f64 = 14.0;

/// What was not kept, in a line each.
pub(crate) fn broken(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut flaws = Vec::new();
    flaws.extend(one_load_at_a_time(outcome));
    flaws.extend(nothing_is_fresh_past_its_ttl(plan, outcome));
    flaws.extend(as_many_loads_as_allowed(plan, outcome));
    if outcome.run.has_grace() {
        flaws.extend(nobody_waits_in_grace(outcome));
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

/// Whether this read, which loaded, may have lost its lease: it was stopped, and so was who renews
/// it.
fn may_have_lapsed(read: &Read) -> bool {
    read.took() >= LEASE_TTL
}

/// By whom the record was fetched that was the newest one at the time of this read, or a newer one.
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

/// How many loads there may be in a TTL. `None`: any number.
pub(crate) fn most_loads_per_ttl(plan: &Plan, outcome: &Outcome) -> Option<f64> {
    match outcome.run {
        Run::Plain | Run::Grace => Some(1.0),
        Run::Early => most_early_loads(plan, outcome),
        // Where the primary fails they are tried again and again, or with pauses that a TTL has
        // nothing to do with.
        _ => None,
    }
}

/// As many as chance brings in one of a million runs.
///
/// In units of the load time `δ`, each of `n` reads in a `δ` begins a load when `-ln(u)` exceeds
/// the time that is left. So the first does so when a time is left that has Gumbel's distribution
/// about `ln(n)`; and that the times of `k` such loads add up to more than `x` has, by Chernoff's
/// bound with `e^(x/2)`, a chance of at most `Γ(½)^k e^((k ln(n) - x)/2)`.
fn most_early_loads(plan: &Plan, outcome: &Outcome) -> Option<f64> {
    /// `2 ln(Γ(½))`
    const LN_PI: f64 = 1.144_729_885_849_400_2;
    let loads = outcome.loads();
    let longest = loads.iter().map(|(_, load)| load.ended.since(load.began));
    let delta = longest.max()?.as_secs_f64();
    let reads = float(outcome.reads().count()) * delta / plan.time.as_secs_f64();
    let refreshes = float(loads.len() - 1);
    let earliest = delta * (reads.ln() + LN_PI + 2.0 * SURE / refreshes);
    // From the beginning of one load to that of the next.
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
    // Exactly: after each, for how long was there to be none?
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

/// Who is served what is stale was told that another has the lease, or had it and failed.
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

/// Early refresh leaves it to chance whether a record is loaded anew in time. What chance can't
/// explain is a flaw.
///
/// Each hit that was answered in time had made its random choice, and had begun a load with a
/// chance of `e^(-left/δ)`. If these chances add up to [`SURE`] and nobody did, something is wrong,
/// unless one had begun in time and was still at it in the end, because the machine was late.
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
