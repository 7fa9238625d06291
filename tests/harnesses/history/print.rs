//! Prints a run as text.

use crate::{
    args::Args,
    environment::Environment,
    page::{Page, duration},
    plan::{Tally, Violation},
    run::{End, Outcome},
    workers::{LAG, NEAR_STALENESS},
};

/// The width of the longest label and a gap.
const LABEL: usize = 22;

/// The description of the run that starts.
pub(crate) fn heading(args: &Args, seed: u64) -> Page {
    let mut page = Page::new(LABEL);
    let (processes, threads) = (args.processes, args.threads);
    page.row("Processes", &format!("{processes}, of {threads} threads"));
    if args.tags() {
        page.row("Rows, each a tag", &args.keys.to_string());
        let (lists, pages) = (
            "two caches with tags of the caller",
            "one with tags of the loader",
        );
        page.row("Records under tags", &format!("in {lists}, {pages}"));
    } else {
        let one = args.keys.div_ceil(2);
        let all = args.keys - one;
        page.row(
            "Records",
            &format!("{one} written by one process each, {all} by all"),
        );
    }
    let faults = if args.faults() { "in bursts" } else { "none" };
    page.row("Faults", faults);
    if args.cluster {
        let (replicas, confirming) = (args.replicas, args.confirming());
        page.row(
            "Cluster",
            &format!("3 masters; replicas of each {replicas}, of which confirm {confirming}"),
        );
    }
    if args.moving_address {
        page.row("Address", "moved between two servers");
    }
    if args.clock_steps() {
        page.row("Clock", "stepped by an hour");
    }
    if args.kill_writers() {
        page.row("Writers", "some are killed after their commit");
    }
    if let Some(audit) = args.audits() {
        let delay = audit.delay;
        page.row(
            "Audits",
            &format!("of one hit in 100, with a delay of {delay:?}"),
        );
    }
    if args.replica() {
        page.row(
            "Loaders",
            &format!("read a replica that lags by up to {LAG:?}"),
        );
    }
    if args.near() {
        page.row("Near caches", &format!("within {NEAR_STALENESS:?}"));
    }
    if let Some(rule) = args.broken {
        let rule = format!("{rule:?}").to_lowercase();
        page.row("Broken on purpose", &rule);
    }
    page.row("Seed", &seed.to_string());
    page
}

/// The results of the run.
pub(crate) fn report(outcome: &Outcome, environment: &Environment) -> Result<Page, String> {
    let mut page = Page::new(LABEL);
    page.line("");
    let seconds = outcome.time.as_secs_f64();
    let operations = outcome.operations;
    page.row("Operations", &format!("{operations} in {seconds:.1} s"));
    let bursts = outcome.fault_report.bursts.iter();
    for (number, (name, times)) in bursts.enumerate() {
        let label = if number == 0 { "Bursts of faults" } else { "" };
        page.row(label, &format!("{times:>4} {name}"));
    }
    recoveries(&mut page, outcome);
    if outcome.killed > 0 {
        let killed = outcome.killed;
        page.row("Writers killed", &killed.to_string());
    }
    let failovers = environment.failovers.count();
    if failovers > 0 {
        let label = if environment.is_moving() {
            "Moves"
        } else {
            "Failovers"
        };
        page.row(label, &failovers.to_string());
    }
    match &outcome.end {
        End::Clean(tally) => {
            figures(&mut page, tally);
            page.line("");
            let eternal = &outcome.fault_report.eternal;
            let looked_at = outcome.fault_report.looked_at;
            page.row(
                "Keys without a TTL",
                &match eternal.first() {
                    None => format!("none of {looked_at}"),
                    Some(first) => format!("{} of {looked_at}, one is {first}", eternal.len()),
                },
            );
            if tally.audits > 0 {
                page.row("Audited hits", &tally.audits.to_string());
                page.row("  differed at first", &tally.unconfirmed.to_string());
                page.row("  failed, or skipped", &tally.audit_failures.to_string());
            }
            if tally.not_judged > 0 {
                page.row("Answers not judged", &tally.not_judged.to_string());
            }
            page.row("Still to be replayed", &tally.pending.to_string());
            stale(&mut page, outcome, tally, environment);
            page.row("Violations", "none");
        }
        End::Violation(violation) => {
            page.line("");
            violated(&mut page, violation, environment)?;
        }
    }
    Ok(page)
}

/// How long lookups were degraded, by fault.
fn recoveries(page: &mut Page, outcome: &Outcome) {
    let recoveries = outcome.fault_report.recoveries.iter();
    for (number, (name, times)) in recoveries.enumerate() {
        let label = ["Redis was back after", "  median, at most"];
        let label = label.get(number).unwrap_or(&"");
        let mut times = times.clone();
        times.sort();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        let (median, longest) = (duration(median), duration(longest));
        page.row(label, &format!("{median:>9} {longest:>9}  {name}"));
    }
}

/// The stale answers, all of them after failovers or moves.
fn stale(page: &mut Page, outcome: &Outcome, tally: &Tally, environment: &Environment) {
    let staleness = &outcome.staleness;
    if staleness.stale.is_empty() && !environment.is_moving() {
        return;
    }
    let (stale, lookups) = (staleness.lookups(), tally.lookups());
    let label = if environment.is_moving() {
        "Late after moves"
    } else {
        "Stale after failovers"
    };
    page.row(label, &format!("{stale} of {lookups} lookups"));
    for (why, stale) in &staleness.stale {
        let (longest, latest) = (duration(stale.longest), duration(stale.latest));
        let count = stale.lookups;
        let how = format!(
            "{count:>4} {why}: by {longest} at most, the latest {latest} after its beginning"
        );
        page.row("", &how);
    }
}

fn figures(page: &mut Page, tally: &Tally) {
    let lookups = tally.lookups();
    page.line("");
    page.row("Lookups", &lookups.to_string());
    let share = |page: &mut Page, label: &str, count: u64, of: u64| {
        let tenths = (count * 1000 + of / 2) / of.max(1);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        page.row(label, &format!("{count:>9} {whole:>3}.{tenth} %"));
    };
    share(page, "  hit", tally.hits, lookups);
    share(page, "  near", tally.near, lookups);
    share(page, "  stale", tally.stale, lookups);
    share(page, "  refreshed", tally.refreshed, lookups);
    share(page, "  loaded", tally.loaded, lookups);
    share(page, "  waited", tally.waited, lookups);
    share(page, "  degraded", tally.degraded, lookups);
    share(page, "  found no record", tally.absent, lookups);
    page.row("  the longest took", &duration(tally.longest));
    page.row("Writes", &tally.writes().to_string());
    share(page, "  invalidate", tally.invalidate, tally.writes());
    share(page, "  write", tally.write, tally.writes());
    share(page, "  update", tally.update, tally.writes());
    share(page, "  update_field", tally.update_field, tally.writes());
    share(page, "  invalidate_at", tally.invalidate_at, tally.writes());
    share(page, "  write_through", tally.write_through, tally.writes());
    share(page, "    cached", tally.cached, tally.write_through);
    share(page, "  unit of work", tally.unit, tally.writes());
    share(page, "  under tags", tally.tags, tally.writes());
    share(page, "  deferred", tally.deferred, tally.writes());
    page.row("Refused fills", &tally.refused_fills.to_string());
    page.row("Failed requests", &tally.store_errors.to_string());
    page.row(
        "Invalidations",
        &format!(
            "{} remembered, {} records replayed",
            tally.remembered, tally.replayed
        ),
    );
}

fn violated(
    page: &mut Page,
    violation: &Violation,
    environment: &Environment,
) -> Result<(), String> {
    let Violation {
        what,
        key,
        seen,
        settled,
        owed,
        newest,
        source,
        process,
        thread,
        began,
        ended,
        stale_since: _,
    } = violation;
    page.row("Violation", what);
    page.row("Record", key);
    let seen = seen.map_or("no record".to_owned(), |seen| seen.to_string());
    page.row("Version seen", &seen);
    page.row("Version settled", &settled.to_string());
    page.row("Version owed", &owed.to_string());
    page.row("Version committed", &newest.to_string());
    page.row("Source", source);
    page.row(
        "Lookup",
        &format!("by thread {thread} of process {process}"),
    );
    page.row("", &format!("began {}", began.relative_to(*ended)));
    page.row("Seed", &environment.seed.to_string());
    page.line("");
    page.line("What happened to this record, in milliseconds before the lookup ended:");
    let writes = environment.primary()?.trail(key).into_iter().map(|event| {
        let text = format!(
            "version {} by thread {} of process {}, begun {}: {}",
            event.version,
            event.thread,
            event.process,
            event.began.relative_to(*ended),
            event.what
        );
        (event.ended, text)
    });
    let mut events: Vec<_> = writes.chain(environment.log.about(key)).collect();
    events.sort();
    for (instant, text) in &events[events.len().saturating_sub(60)..] {
        page.line(&format!("{:>14}  {text}", instant.relative_to(*ended)));
    }
    Ok(())
}
