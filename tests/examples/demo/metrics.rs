//! The metrics that a Prometheus server reads from the demo, and those that the dashboard uses.

#![expect(clippy::float_cmp, reason = "what is counted is whole")]

use std::{collections::BTreeSet, fs};

use openmetrics_parser::{
    MetricFamily, MetricsExposition, PrometheusType, PrometheusValue, prometheus::parse_prometheus,
};
use serde_json::Value;

use super::start;
use crate::demo_server::Demo;

type Family = MetricFamily<PrometheusType, PrometheusValue>;

fn scrape(demo: &Demo) -> MetricsExposition<PrometheusType, PrometheusValue> {
    let (status, headers, text) = demo.ask_plain("GET", "/metrics", "");
    assert_eq!(status, 200);
    assert_eq!(
        headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    parse_prometheus(&text).unwrap_or_else(|error| panic!("{error:?} in\n{text}"))
}

/// The sum of the samples with these values of their labels, of the cache of products.
fn count(family: &Family, labels: &[(&str, &str)]) -> f64 {
    let samples = family.iter_samples().filter(|sample| {
        let set = sample.get_labelset().unwrap();
        let all = set.iter().map(|(name, value)| (&**name, &**value));
        let all: BTreeSet<_> = all.collect();
        all.contains(&("cache", "cache:product:")) && labels.iter().all(|label| all.contains(label))
    });
    samples
        .map(|sample| match &sample.value {
            PrometheusValue::Counter(counter) => counter.value.as_f64(),
            PrometheusValue::Gauge(number) => number.as_f64(),
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            PrometheusValue::Histogram(times) => times.count.unwrap() as f64,
            other => panic!("{other:?}"),
        })
        .sum()
}

#[test]
fn a_scrape_parses_and_says_what_was_done() {
    let (_redis, demo) = start();
    demo.read("p-001");
    demo.read("p-001");
    demo.get("/read?id=p-404");
    demo.post("/update", "id=p-001&field=stock&value=7");
    demo.post("/update_field", "id=p-001&field=stock&value=8");
    demo.post("/stampede", "id=p-002&concurrency=10");

    let scraped = scrape(&demo);
    let number = |name: &str, labels: &[(&str, &str)]| {
        let family = scraped.families.get(name);
        count(family.unwrap_or_else(|| panic!("no {name}")), labels)
    };
    let lookups = "cache_aside_lookups_total";
    assert_eq!(number(lookups, &[]), 13.0);
    assert_eq!(number(lookups, &[("found", "false")]), 1.0);
    let loaded = number(lookups, &[("source", "loaded")]);
    assert_eq!(loaded, 3.0);
    let hits = number(lookups, &[("source", "hit")]);
    let waited = number(lookups, &[("source", "waited")]);
    assert!(hits >= 1.0 && hits + waited == 10.0, "{hits} + {waited}");
    assert_eq!(
        number("cache_aside_misses_total", &[("reason", "absent")]),
        13.0 - hits
    );
    assert_eq!(
        number("cache_aside_stampedes_suppressed_total", &[]),
        waited
    );
    assert_eq!(number("cache_aside_lookup_duration_seconds", &[]), 13.0);
    assert_eq!(
        number("cache_aside_loads_total", &[("outcome", "found")]),
        2.0
    );
    assert_eq!(
        number("cache_aside_loads_total", &[("outcome", "not_found")]),
        1.0
    );
    assert_eq!(number("cache_aside_load_duration_seconds", &[]), 3.0);
    assert_eq!(number("cache_aside_loads_in_flight", &[]), 0.0);
    // `/update`, the first step of a stampede, and `/update_field`.
    let writes = "cache_aside_writes_total";
    assert_eq!(number(writes, &[("call", "unit_of_work")]), 1.0);
    assert_eq!(number(writes, &[("call", "invalidate")]), 1.0);
    assert_eq!(number(writes, &[("call", "update_field")]), 1.0);
    for quiet in [
        "cache_aside_overloads_total",
        "cache_aside_load_timeouts_total",
        "cache_aside_background_loads_total",
        "cache_aside_background_panics_total",
        "cache_aside_refused_fills_total",
        "cache_aside_stale_loads_total",
        "cache_aside_unstorable_records_total",
        "cache_aside_unreadable_entries_total",
        "cache_aside_audits_total",
        "cache_aside_other_schema_entries_total",
        "cache_aside_invalidations_remembered_total",
        "cache_aside_invalidations_replayed_total",
        "cache_aside_invalidations_lost_total",
        "cache_aside_invalidations_pending",
        "cache_aside_lookup_errors_total",
        "cache_aside_breaker_open",
    ] {
        assert_eq!(number(quiet, &[]), 0.0, "{quiet}");
    }
    for (name, family) in &scraped.families {
        assert!(!family.help.is_empty(), "{name} explains itself");
        let is_counter = family.family_type == PrometheusType::Counter;
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
    }
}

#[test]
fn an_outage_shows() {
    let (mut redis, demo) = start();
    redis.kill();
    for _ in 0..6 {
        demo.read("p-001");
    }
    demo.post("/invalidate", "id=p-001");
    let scraped = scrape(&demo);
    let number = |name: &str| count(&scraped.families[name], &[]);
    assert_eq!(number("cache_aside_store_errors_total"), 5.0);
    assert_eq!(number("cache_aside_breaker_open"), 1.0);
    assert_eq!(number("cache_aside_invalidations_pending"), 1.0);
    redis.start_again();
    crate::support::until(|| {
        let scraped = scrape(&demo);
        let number = |name: &str| count(&scraped.families[name], &[]);
        number("cache_aside_breaker_open") == 0.0
            && number("cache_aside_invalidations_pending") == 0.0
            && number("cache_aside_invalidations_replayed_total") == 1.0
    });
}

/// A panel with a metric that does not exist would stay empty for ever.
#[test]
fn the_dashboard_asks_for_what_is_there() {
    let (mut redis, demo) = start();
    demo.read("p-001");
    demo.post("/invalidate", "id=p-001");
    redis.kill();
    demo.read("p-001");
    let there: BTreeSet<_> = scrape(&demo).families.into_keys().collect();

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/server/grafana.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in words.filter(|word| word.starts_with("cache_aside_")) {
                let name = name.strip_suffix("_bucket").unwrap_or(name);
                assert!(there.contains(name), "{name} in {}", panel["title"]);
                shown.insert(name.to_owned());
            }
        }
    }
    assert_eq!(shown, there, "and it shows all of it");
}
